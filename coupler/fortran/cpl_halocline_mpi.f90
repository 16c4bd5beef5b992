!> Halocline client over MPI: what a Fortran ocean model compiles in to exchange fields with `halocline couple`.
!!
!! Order of the calls (each has an optional last argument kerr; without it an error stops the whole job):
!!   cpl_init      starts MPI when it is not started, meets the coupler, returns the communicator of the model
!!   cpl_domain    the box of the global grid that this rank owns (interior, no halo)
!!   cpl_var       one field that the model offers or accepts; returns its id
!!   cpl_define    calendar and run length; the coupler checks all and answers with the exchanges
!!   cpl_snd       every step, every offered field: packs now, the message leaves with the last field of its exchange
!!   cpl_rcv       every step, every accepted field: delivers at coupling steps, leaves the array alone between them
!!   cpl_status    is what a field last received an answer of the networks, held, a fallback, or nothing to apply
!!   cpl_restart   the model writes its restart at the end of step kt; call it before the first cpl_snd of that step
!!   cpl_finalize  timers and end marker; MPI_Finalize stays with the model
!!   cpl_abort     one message on stderr and in halocline.abort, then MPI_Abort
!!
!! Depends on MPI alone. Arrays are (i, j) or (i, j, k), interior only, any stride, real32 or real64 whatever the
!! default kind is; j grows northward, k = 1 is the surface, steps count from 1 at the start of the experiment.
!! Nothing waits for ever: every wait polls up to a time-out that the coupler sends (rn_timeout); before that,
!! 120 s or the environment variable HALOCLINE_TIMEOUT_START.
!! Client and coupler speak one version of the protocol, cpl_protocol; with another version a run is refused at its start.
!! The number changes when a message changes. The handshake may gain entries without it: a coupler ignores those unknown to it.
!! Plain ASCII without quotes in comments, for traditional preprocessors.
module cpl_halocline
   use, intrinsic :: iso_fortran_env, only : int8, int64, real32, real64, error_unit, output_unit
   use, intrinsic :: iso_c_binding,   only : c_int, c_loc, c_f_pointer, c_funptr, c_funloc, c_null_funptr
   use mpi
   implicit none
   private

   public :: cpl_init, cpl_domain, cpl_var, cpl_define, cpl_snd, cpl_rcv, cpl_restart, cpl_abort, cpl_finalize
   public :: cpl_stop_requested, cpl_status, cpl_ready

   integer, parameter, public :: cpl_out = 1        !< the model sends this field
   integer, parameter, public :: cpl_in  = 2        !< the model receives this field
   integer, parameter, public :: cpl_protocol = 2   !< version of handshake and messages
   integer, parameter, public :: cpl_ok = 0         !< status: what the networks made for this step
   integer, parameter, public :: cpl_held = 1       !< status: an answer to an earlier step
   integer, parameter, public :: cpl_fallback = 2   !< status: a guard of the coupler put something else in its place
   integer, parameter, public :: cpl_inactive = 3   !< status: neutral, nothing is to be applied; before the first delivery too

   integer(int64), parameter :: jp_magic = 5207096_int64      ! first word of every message
   integer, parameter :: jp_ocean = 1, jp_coupler = 2, jp_coupler_oasis = 4   ! sides of the hello
   integer, parameter :: jp_hello = 64                        ! integers in a hello: magic, protocol, side, name
   integer, parameter :: jp_tag_hello = 31001, jp_tag_table = 31002, jp_tag_shake = 31003, jp_tag_plan = 31004
   integer, parameter :: jp_tag_exc = 100                     ! exchange n travels with tag 100 + n
   integer, parameter :: jp_head = 64                         ! bytes of a header: 8 integers of 64 bits
   integer, parameter :: jp_flag_last = 1, jp_plan_static = 1, jp_plan_first = 2
   integer, parameter :: jp_grids = 8                         ! most grids of a model
   real(real64), parameter :: rp_slack = 3._real64            ! the coupler adds it: the side that knows the cause speaks first
   integer(c_int), parameter :: jp_sigterm = 15_c_int
   integer, parameter :: jp_len = 64                          ! characters of a name

   interface cpl_define
      module procedure define_r4, define_r8
   end interface cpl_define

   interface cpl_snd
      module procedure snd_2d_r4, snd_3d_r4, snd_2d_r8, snd_3d_r8
   end interface cpl_snd

   interface cpl_rcv
      module procedure rcv_2d_r4, rcv_3d_r4, rcv_2d_r8, rcv_3d_r8
   end interface cpl_rcv

   interface
      function c_usleep(kmicro) bind(C, name='usleep') result(kret)
         import :: c_int
         implicit none
         integer(c_int), value :: kmicro
         integer(c_int)        :: kret
      end function c_usleep
      function c_yield() bind(C, name='sched_yield') result(kret)
         import :: c_int
         implicit none
         integer(c_int) :: kret
      end function c_yield
      function c_signal(ksig, kdo) bind(C, name='signal') result(kwas)
         import :: c_int, c_funptr
         implicit none
         integer(c_int), value :: ksig
         type(c_funptr), value :: kdo
         type(c_funptr)        :: kwas
      end function c_signal
   end interface

   !> A field as the model declared it.
   type :: t_var
      character(len=jp_len) :: cname = '', cunits = ''
      character(len=1)      :: cpoint = 'T'
      integer :: nlev = 1, ndir = cpl_out, ngrd = 1
      integer :: nexc = 0, nslot = 0         ! exchange and place in it; 0: the namelist does not couple it
      logical :: ldone = .false.             ! handled at the current step of its exchange
      logical :: lfirst = .true.             ! never delivered yet
   end type t_var

   !> Runs of one row each: (i, j, length) in local indices, in the order of the message.
   type :: t_runs
      integer :: nval = 0
      integer, allocatable :: mi(:), mj(:), mlen(:)
   end type t_runs

   !> The message of one pair of ranks and one exchange: a header and the fields, seen as bytes, integers or reals.
   type :: t_msg
      integer :: npeer = -1
      type(t_runs), allocatable :: runs(:)                   ! one per run set
      integer, allocatable      :: noff(:)                   ! first value of each field slot, minus one
      integer(int8), allocatable :: raw(:)
      integer(int64), pointer :: head(:) => null()
      real(real64),   pointer :: r8(:)   => null()
      real(real32),   pointer :: r4(:)   => null()
   end type t_msg

   !> A group of fields that travel together.
   type :: t_exc
      integer :: nid = 0, ndir = 0, nperiod = 1, nfld = 0, nset = 0, ngrd = 1
      logical :: lstatic = .false.
      logical :: lfirst = .false.            ! delivered at nit000 too, whatever the period
      integer, allocatable :: mfld(:), mset(:)               ! field ids and their run sets
      integer :: nmsg = 0
      type(t_msg), allocatable :: msg(:)
      integer, allocatable :: mreq(:)
      integer :: nkt = -1                                    ! step being packed or last posted
      integer :: npacked = 0
      integer :: nkt_told = 0                                ! last restart that the coupler knows of
      integer :: nstatus = cpl_inactive                      ! of the last delivery
      logical :: lposted = .false., larrived = .false.
   end type t_exc

   type(t_var), allocatable, save :: var(:)
   type(t_exc), allocatable, target, save :: exc(:)
   integer, save :: nvar = 0, nexc = 0
   integer, save :: ncomm_parent = MPI_COMM_NULL, ncomm_oce = MPI_COMM_NULL, ncomm_cpl = MPI_COMM_NULL
   integer, save :: nrank = -1, nsize_oce = 0, nrank_oce = -1  ! rank in the parent; size and rank in the model
   integer, allocatable, save :: mcoupler(:)                  ! ranks of the coupler in the parent
   character(len=jp_len), save :: cmodel = ''
   integer, save :: nwire = 64
   integer, save :: nit000 = 1, nitend = 0, nkt_restart = 0
   integer, save :: nend = 0                                  ! last step of a run that was asked to end early; 0: it was not
   integer, save :: nmine = 0, nwishes = 0, nreq_wish = MPI_REQUEST_NULL ! this rank wishes it, how many do, and the sum under way
   logical, save :: lcaught = .false.                         ! SIGTERM is a wish from now on
   logical, save, volatile :: lterm = .false.                 ! it came
   integer, save :: ngrid = 0                                 ! grids declared
   integer, save :: nbox(4, jp_grids) = 0, nglo(2, jp_grids) = 0   ! i offset, j offset, ni, nj; global sizes
   character(len=32), save :: cbound(jp_grids) = 'closed', cgrid(jp_grids) = ''
   real(real64), save :: rtimeout = 120._real64
   real(real64), save :: rasked = 0._real64                   ! rn_timeout itself; 0 before the plan came
   real(real64), save :: rtime(3) = 0._real64                 ! seconds packing, waiting, unpacking
   integer(int64), save :: mclock0 = 0_int64
   logical, save :: ldescribe = .false., ldefined = .false., lstop = .false.
   logical, save :: lend = .false.                            ! HALOCLINE_DESCRIBE is set: cpl_define ends the model
   logical, save :: loldabort = .false.                       ! halocline.abort is left from an earlier job

contains

   ! --- Start and end ------------------------------------------------------------------------------------------------

   !> Meet the coupler: every rank of the parent says who it is, then the parent is split by program.
   !! MPI is started here when the model has not done so.
   subroutine cpl_init(cdname, kcomm, kcomm_parent, ld_describe, kerr)
      character(len=*),  intent(in)  :: cdname         !< name of the model, at most 60 characters
      integer,           intent(out) :: kcomm          !< communicator of the model, for its own start-up
      integer, optional, intent(in)  :: kcomm_parent   !< communicator that holds model and coupler; default the world
      logical, optional, intent(in)  :: ld_describe    !< no coupler: cpl_define prints the handshake and returns
      integer, optional, intent(out) :: kerr           !< 0 or error code; absent: stop the job
      logical :: llini
      integer :: ierr, isize
      integer, allocatable :: itable(:,:)
      character(len=512) :: clerr

      if (present(kerr)) kerr = 0
      inquire(file='halocline.abort', exist=loldabort)
      call MPI_Initialized(llini, ierr)
      if (.not. llini) call MPI_Init(ierr)
      ncomm_parent = MPI_COMM_WORLD
      if (present(kcomm_parent)) ncomm_parent = kcomm_parent
      if (present(ld_describe)) ldescribe = ld_describe
      call get_environment_variable('HALOCLINE_DESCRIBE', status=ierr)
      lend = ierr == 0 .and. .not. ldescribe
      ldescribe = ldescribe .or. lend
      call MPI_Comm_rank(ncomm_parent, nrank, ierr)
      call MPI_Comm_size(ncomm_parent, isize, ierr)
      cmodel = cdname
      call read_timeout()
      call system_clock(mclock0)
      if (ldescribe) then
         call MPI_Comm_dup(ncomm_parent, ncomm_oce, ierr)
      else
         call hello(isize, itable, clerr)
         if (len_trim(clerr) > 0) then
            kcomm = MPI_COMM_NULL
            call fail(trim(clerr), kerr)
            return
         end if
         call MPI_Comm_split(ncomm_parent, itable(2, nrank + 1), nrank, ncomm_oce, ierr)
         call MPI_Comm_dup(ncomm_parent, ncomm_cpl, ierr)
         call list_coupler(itable)
      end if
      call MPI_Comm_size(ncomm_oce, nsize_oce, ierr)
      call MPI_Comm_rank(ncomm_oce, nrank_oce, ierr)
      kcomm = ncomm_oce
   end subroutine cpl_init

   !> Everybody tells rank 0 who it is, rank 0 answers with the table (side, program) of all ranks.
   subroutine hello(ksize, ktable, cderr)
      integer,              intent(in)  :: ksize
      integer, allocatable, intent(out) :: ktable(:,:)
      character(len=*),     intent(out) :: cderr
      integer :: imine(jp_hello), ireq(ksize), ierr, jr
      integer, allocatable :: iall(:,:)

      cderr = ''
      allocate(ktable(2, ksize))
      imine = 0
      imine(1) = int(jp_magic) ; imine(2) = cpl_protocol ; imine(3) = jp_ocean
      do jr = 1, min(len_trim(cmodel), jp_hello - 4)
         imine(3 + jr) = iachar(cmodel(jr:jr))
      end do
      if (nrank == 0) then
         allocate(iall(jp_hello, ksize))
         iall = 0 ; iall(:, 1) = imine ; ireq = MPI_REQUEST_NULL
         do jr = 2, ksize
            call MPI_Irecv(iall(:, jr), jp_hello, MPI_INTEGER, jr - 1, jp_tag_hello, ncomm_parent, ireq(jr), ierr)
         end do
         call wait_all(ksize, ireq, ierr)
         if (ierr /= 0) then
            call silent_ranks(iall, cderr)
            return
         end if
         call programs(iall, ktable, cderr)
         if (len_trim(cderr) > 0) return
         do jr = 2, ksize
            call MPI_Isend(ktable, 2*ksize, MPI_INTEGER, jr - 1, jp_tag_table, ncomm_parent, ireq(jr), ierr)
         end do
         call wait_all(ksize, ireq, ierr)
      else
         call MPI_Isend(imine, jp_hello, MPI_INTEGER, 0, jp_tag_hello, ncomm_parent, ireq(1), ierr)
         call MPI_Irecv(ktable, 2*ksize, MPI_INTEGER, 0, jp_tag_table, ncomm_parent, ireq(2), ierr)
         call wait_all(2, ireq, ierr)
         if (ierr /= 0) then
            cderr = 'no answer from rank 0 of the communicator within the start-up time-out (' // trim(secs(rtimeout)) // &
               &    '). Every program of the launch must call the client or be the coupler; with others ' // &
               &    '(an I/O server, an atmosphere) pass their common communicator to cpl_init.'
         end if
      end if
   end subroutine hello

   !> Which ranks never said hello: a sentence.
   subroutine silent_ranks(kall, cderr)
      integer,          intent(in)  :: kall(:,:)
      character(len=*), intent(out) :: cderr
      integer :: jr, in
      character(len=12) :: clrank
      cderr = 'no hello within the start-up time-out (' // trim(secs(rtimeout)) // ') from rank'
      in = 0
      do jr = 2, size(kall, 2)
         if (kall(1, jr) /= 0) cycle
         in = in + 1
         if (in > 8) cycle
         write(clrank, '(1x,i0)') jr - 1
         cderr = trim(cderr) // clrank
      end do
      if (in > 8) cderr = trim(cderr) // ' ...'
      cderr = trim(cderr) // ' of the launch. Is it a program that never calls the client? Launch the ocean and ' // &
         &    '`halocline couple` alone, or pass their common communicator to cpl_init.'
   end subroutine silent_ranks

   !> Table of (side, first rank of the program) from the hellos; one model and one coupler are required.
   subroutine programs(kall, ktable, cderr)
      integer,          intent(in)  :: kall(:,:)
      integer,          intent(out) :: ktable(:,:)
      character(len=*), intent(out) :: cderr
      integer :: jr, js, ioce
      character(len=32) :: clgot, clours
      cderr = ''
      ioce = 0
      do jr = 1, size(kall, 2)
         if (kall(1, jr) /= int(jp_magic) .or. kall(2, jr) /= cpl_protocol) then
            write(clgot, '(i0,a,i0,a)') kall(2, jr), ' on rank ', jr - 1, ' ('
            write(clours, '(i0)') cpl_protocol
            cderr = 'protocol versions differ: ' // trim(clgot) // trim(hello_name(kall(:, jr))) // '), ' // trim(clours) // &
               &    ' in the client of ' // trim(cmodel) // '. Compile the client that ships with the installed coupler: ' // &
               &    '`halocline client --path` prints its folder.'
            return
         end if
         do js = 1, jr
            if (all(kall(3:, js) == kall(3:, jr))) exit
         end do
         ktable(1, jr) = kall(3, jr)
         ktable(2, jr) = js - 1
         if (kall(3, jr) == jp_ocean) then
            if (ioce == 0) ioce = js
            if (ioce /= js) then
               cderr = 'two models call the client: ' // trim(hello_name(kall(:, ioce))) // ' and ' // &
                  &    trim(hello_name(kall(:, js))) // '. One coupler serves one model; give each pair its own communicator.'
               return
            end if
         end if
      end do
      if (any(ktable(1, :) == jp_coupler_oasis)) then
         cderr = 'this model is linked with the MPI client, the coupler is told cn_transport = oasis. Start the executable ' // &
            &    'that is linked with cpl_halocline_oasis.f90, or set cn_transport = mpi.'
      else if (.not. any(ktable(1, :) == jp_coupler)) then
         cderr = 'no rank of the launch is a coupler. Add it: mpirun -np N model.exe : -np M halocline couple'
      end if
   end subroutine programs

   function hello_name(kone) result(cdname)
      integer, intent(in) :: kone(:)
      character(len=jp_len) :: cdname
      integer :: jc
      cdname = ''
      do jc = 4, size(kone)
         if (kone(jc) > 0) cdname(jc-3:jc-3) = achar(kone(jc))
      end do
   end function hello_name

   subroutine list_coupler(ktable)
      integer, intent(in) :: ktable(:,:)
      integer :: jr
      mcoupler = pack([(jr - 1, jr = 1, size(ktable, 2))], ktable(1, :) == jp_coupler)
   end subroutine list_coupler

   subroutine read_timeout()
      character(len=32) :: clval
      integer :: istat
      real(real64) :: zval
      call get_environment_variable('HALOCLINE_TIMEOUT_START', clval, status=istat)
      if (istat /= 0) return
      read(clval, *, iostat=istat) zval
      if (istat == 0 .and. zval > 0._real64) rtimeout = zval
   end subroutine read_timeout

   !> End of the exchanges of this run: tells a waiting coupler, writes timers and the end marker halocline.ocean.json.
   !! Collective over the model; does not call MPI_Finalize.
   subroutine cpl_finalize(kerr)
      integer, optional, intent(out) :: kerr   !< 0 or error code
      integer :: je, jm, ierr, iunit, irestart
      integer, allocatable :: ireq(:)
      integer(int64) :: iclock, irate
      real(real64) :: zmine(4)
      real(real64), allocatable :: zall(:,:)
      if (present(kerr)) kerr = 0
      if (ldescribe .or. .not. ldefined) return
      call finish_wish()
      do je = 1, nexc
         if (exc(je)%ndir /= cpl_out .or. exc(je)%nkt >= last_step(exc(je)) .or. last_step(exc(je)) < nit000) cycle
         allocate(ireq(exc(je)%nmsg))
         call wait_all(exc(je)%nmsg, exc(je)%mreq, ierr)
         irestart = restart_word(exc(je))
         do jm = 1, exc(je)%nmsg
            exc(je)%msg(jm)%head(1:5) = [jp_magic, int([exc(je)%nkt, je, jp_flag_last, irestart], int64)]
            call MPI_Isend(exc(je)%msg(jm)%raw, jp_head, MPI_BYTE, exc(je)%msg(jm)%npeer, jp_tag_exc + je, ncomm_cpl, &
               &           ireq(jm), ierr)
         end do
         call wait_all(exc(je)%nmsg, ireq, ierr)
         deallocate(ireq)
      end do
      do je = 1, nexc
         if (exc(je)%ndir == cpl_out) call wait_all(exc(je)%nmsg, exc(je)%mreq, ierr)
      end do
      call system_clock(iclock, irate)
      zmine(1:3) = rtime
      zmine(4) = real(iclock - mclock0, real64) / real(irate, real64)
      allocate(zall(4, nsize_oce))
      call MPI_Gather(zmine, 4, MPI_DOUBLE_PRECISION, zall, 4, MPI_DOUBLE_PRECISION, 0, ncomm_oce, ierr)
      if (nrank_oce == 0) then
         open(newunit=iunit, file='halocline.ocean.json.part', action='write', status='replace', iostat=ierr)
         if (ierr == 0) then
            write(iunit, '(a)') '{"side": "ocean", "model": "' // trim(cmodel) // '", "ended": true, '
            call write_list(iunit, 'pack', zall(1, :)) ; write(iunit, '(a)') ', '
            call write_list(iunit, 'wait', zall(2, :)) ; write(iunit, '(a)') ', '
            call write_list(iunit, 'unpack', zall(3, :)) ; write(iunit, '(a)') ', '
            call write_list(iunit, 'total', zall(4, :)) ; write(iunit, '(a)') '}'
            close(iunit)
            call rename_file('halocline.ocean.json.part', 'halocline.ocean.json')
         end if
      end if
      ldefined = .false.
   end subroutine cpl_finalize

   subroutine write_list(kunit, cdname, pval)
      integer,          intent(in) :: kunit
      character(len=*), intent(in) :: cdname
      real(real64),     intent(in) :: pval(:)
      integer :: jr
      write(kunit, '(a)', advance='no') '"' // cdname // '": ['
      do jr = 1, size(pval)
         if (jr > 1) write(kunit, '(a)', advance='no') ', '
         write(kunit, '(es14.7)', advance='no') pval(jr)
      end do
      write(kunit, '(a)', advance='no') ']'
   end subroutine write_list

   subroutine rename_file(cdfrom, cdto)
      use, intrinsic :: iso_c_binding, only : c_char, c_null_char
      character(len=*), intent(in) :: cdfrom, cdto
      interface
         function c_rename(cold, cnew) bind(C, name='rename') result(kret)
            import :: c_char, c_int
            implicit none
            character(kind=c_char), intent(in) :: cold(*), cnew(*)
            integer(c_int) :: kret
         end function c_rename
      end interface
      integer(c_int) :: iret
      iret = c_rename(cdfrom // c_null_char, cdto // c_null_char)
      if (iret /= 0_c_int) write(error_unit, '(a)') 'halocline client: cannot rename ' // cdfrom // ' to ' // cdto
   end subroutine rename_file

   !> Stop the whole job: one message on stderr and in halocline.abort, then MPI_Abort.
   subroutine cpl_abort(cdmsg, kcode)
      character(len=*),  intent(in) :: cdmsg   !< what, got, allowed, where, what to do
      integer, optional, intent(in) :: kcode   !< exit code of the job, default 1
      integer :: iunit, ios, icode, ierr
      logical :: llfirst
      icode = 1
      if (present(kcode)) icode = max(kcode, 1)
      open(newunit=iunit, file='halocline.abort', action='write', status='new', iostat=ios)
      llfirst = ios == 0
      if (llfirst) then
         write(iunit, '(a)', iostat=ios) trim(cdmsg)
         if (ios == 0) close(iunit, iostat=ios)
         if (ios /= 0) write(error_unit, '(a)') 'halocline: halocline.abort cannot be written. Is the disk full?'
      end if
      if (llfirst .or. loldabort) then   ! else another rank of this job has told the cause
         write(error_unit, '(a)') 'halocline: ' // trim(cdmsg)
         flush(error_unit)
      end if
      ! Without this pause mpirun may kill the job before it has forwarded the message.
      ierr = int(c_usleep(100000_c_int))
      call MPI_Abort(MPI_COMM_WORLD, icode, ierr)
   end subroutine cpl_abort

   !> Return the error when the caller asked for it, else stop the job.
   subroutine fail(cdmsg, kerr)
      character(len=*),  intent(in)    :: cdmsg
      integer, optional, intent(inout) :: kerr
      character(len=48) :: clwho
      if (present(kerr)) then
         write(error_unit, '(a)') 'halocline: ' // trim(cdmsg)
         kerr = 1
         return
      end if
      write(clwho, '(a,i0)') ', rank ', nrank
      call cpl_abort(trim(cdmsg) // ' [' // trim(cmodel) // trim(clwho) // ']')
   end subroutine fail

   ! --- Definition ---------------------------------------------------------------------------------------------------

   !> The box of the halo-free global grid that this rank owns. Fields declared from here on live on this grid; a model with
   !! several grids calls it once for each, under different names, alike on every rank (0 x 0 where a rank has no part).
   subroutine cpl_domain(kiglo, kjglo, kioff, kjoff, kni, knj, cdbound, cdgrid, kerr)
      integer,                    intent(in)  :: kiglo, kjglo   !< global sizes, without halo
      integer,                    intent(in)  :: kioff, kjoff   !< zero-based offset of this interior in the global grid
      integer,                    intent(in)  :: kni, knj       !< size of this interior
      character(len=*), optional, intent(in)  :: cdbound        !< closed (default), cyclic_ew, cyclic_ns, cyclic_both, fold_T or _F
      character(len=*), optional, intent(in)  :: cdgrid         !< name of the grid; default: the model has one
      integer,          optional, intent(out) :: kerr           !< 0 or error code; absent: stop the job
      character(len=160) :: clmsg
      if (present(kerr)) kerr = 0
      if (ngrid == jp_grids) then
         call fail('cpl_domain: a model has at most 8 grids', kerr)
         return
      end if
      ngrid = ngrid + 1
      nglo(:, ngrid) = [kiglo, kjglo]
      nbox(:, ngrid) = [kioff, kjoff, kni, knj]
      if (present(cdbound)) cbound(ngrid) = cdbound
      if (present(cdgrid)) cgrid(ngrid) = cdgrid
      if (kni < 0 .or. knj < 0 .or. kioff < 0 .or. kjoff < 0 .or. kioff + kni > kiglo .or. kjoff + knj > kjglo) then
         write(clmsg, '(5(a,i0),a,i0)') 'cpl_domain: the box at offset (', kioff, ',', kjoff, ') of size (', kni, ',', knj, &
            &  ') leaves the global grid ', kiglo, ' x ', kjglo
         call fail(clmsg, kerr)
      end if
   end subroutine cpl_domain

   !> Declare one field; the namelist of the coupler decides whether it travels.
   subroutine cpl_var(kfld, cdname, cdunits, cdpoint, klev, kdir, kerr)
      integer,           intent(out) :: kfld      !< id for cpl_snd or cpl_rcv
      character(len=*),  intent(in)  :: cdname    !< name, the same in the namelist
      character(len=*),  intent(in)  :: cdunits   !< SI units, e.g. m s-1
      character(len=*),  intent(in)  :: cdpoint   !< T, U, V, F or W
      integer,           intent(in)  :: klev      !< levels; 1 for a 2-D field
      integer,           intent(in)  :: kdir      !< cpl_out or cpl_in
      integer, optional, intent(out) :: kerr      !< 0 or error code; absent: stop the job
      type(t_var), allocatable :: zlonger(:)
      integer :: jv
      if (present(kerr)) kerr = 0
      kfld = 0
      if (.not. allocated(var)) allocate(var(16))
      if (len_trim(cdname) < 1 .or. len_trim(cdname) > jp_len .or. scan(trim(cdname), ' "') > 0) then
         call fail('cpl_var: the name ' // trim(cdname) // ' is empty, longer than 64 characters or holds a blank', kerr)
         return
      end if
      do jv = 1, nvar
         if (var(jv)%cname == cdname .and. var(jv)%ndir == kdir) then
            call fail('cpl_var: field ' // trim(cdname) // ' is declared twice', kerr)
            return
         end if
      end do
      if (ngrid == 0) then
         call fail('cpl_var: field ' // trim(cdname) // ' comes before cpl_domain', kerr)
         return
      end if
      if (scan(cdpoint(1:1), 'TUVFW') == 0 .or. klev < 1 .or. (kdir /= cpl_out .and. kdir /= cpl_in)) then
         call fail('cpl_var: field ' // trim(cdname) // ' needs a point T, U, V, F or W, at least one level, ' // &
            &      'and direction cpl_out or cpl_in', kerr)
         return
      end if
      if (nvar == size(var)) then
         allocate(zlonger(2*nvar))
         zlonger(1:nvar) = var
         call move_alloc(zlonger, var)
      end if
      nvar = nvar + 1
      var(nvar)%cname = cdname ; var(nvar)%cunits = cdunits ; var(nvar)%cpoint = cdpoint(1:1)
      var(nvar)%nlev = klev ; var(nvar)%ndir = kdir ; var(nvar)%ngrd = ngrid
      kfld = nvar
   end subroutine cpl_var

   !> Hand calendar, grid and fields to the coupler and take the exchanges from it. Collective over the model.
   subroutine define_r8(pdt, kit000, kitend, kdate0, cdcal, cdlevel, kerr)
      real(real64),               intent(in)  :: pdt      !< time step [s]
      integer,                    intent(in)  :: kit000   !< first step of this run, counted from 1 of the experiment
      integer,                    intent(in)  :: kitend   !< last step of this run
      integer,                    intent(in)  :: kdate0   !< date of the start of the experiment, yyyymmdd
      character(len=*),           intent(in)  :: cdcal    !< CF calendar: 360_day, noleap, standard
      character(len=*), optional, intent(in)  :: cdlevel  !< time level of the state that is sent: now (default), before
      integer,          optional, intent(out) :: kerr     !< 0 or error code; absent: stop the job
      character(len=:), allocatable :: cljson
      integer, allocatable :: ibox(:,:), imine(:)
      integer :: ierr, jc, ireq(1)
      character(len=8) :: cllev

      if (present(kerr)) kerr = 0
      nit000 = kit000 ; nitend = kitend
      cllev = 'now'
      if (present(cdlevel)) cllev = cdlevel
      allocate(ibox(4*ngrid + 2, nsize_oce), imine(4*ngrid + 2))
      imine(1:2) = [nvar, ngrid]
      imine(3:) = reshape(nbox(:, 1:ngrid), [4*ngrid])
      call MPI_Gather(imine, 4*ngrid + 2, MPI_INTEGER, ibox, 4*ngrid + 2, MPI_INTEGER, 0, ncomm_oce, ierr)
      if (nrank_oce == 0) then
         call handshake(ibox, pdt, kdate0, cdcal, cllev, cljson)
         if (ldescribe) then
            write(output_unit, '(a)') cljson
         else
            call MPI_Isend(cljson, len(cljson), MPI_CHARACTER, mcoupler(1), jp_tag_shake, ncomm_cpl, ireq(1), ierr)
            call wait_all(1, ireq, ierr)
            if (ierr /= 0) then
               call fail('cpl_define: the coupler does not take the handshake within ' // trim(secs(rtimeout)), kerr)
               return
            end if
         end if
      end if
      if (lend) then
         call MPI_Finalize(ierr)
         stop
      end if
      if (ldescribe) return
      do jc = 1, size(mcoupler)
         call take_plan(jc, ierr)
         if (ierr /= 0) then
            call fail('cpl_define: the coupler sends no plan within ' // trim(secs(rtimeout)) // &
               &      '. Its own message, if any, says why.', kerr)
            return
         end if
      end do
      call build_messages()
      ldefined = .true.
   end subroutine define_r8

   !> As define_r8, for a model in single precision.
   subroutine define_r4(pdt, kit000, kitend, kdate0, cdcal, cdlevel, kerr)
      real(real32),               intent(in)  :: pdt      !< time step [s]
      integer,                    intent(in)  :: kit000   !< first step of this run
      integer,                    intent(in)  :: kitend   !< last step of this run
      integer,                    intent(in)  :: kdate0   !< date of the start of the experiment, yyyymmdd
      character(len=*),           intent(in)  :: cdcal    !< CF calendar
      character(len=*), optional, intent(in)  :: cdlevel  !< time level of the state that is sent
      integer,          optional, intent(out) :: kerr     !< 0 or error code; absent: stop the job
      call define_r8(real(pdt, real64), kit000, kitend, kdate0, cdcal, cdlevel, kerr)
   end subroutine define_r4

   !> The handshake: what the model is, as a JSON document of one line.
   subroutine handshake(kbox, pdt, kdate0, cdcal, cdlevel, cdjson)
      integer,                       intent(in)  :: kbox(:,:)
      real(real64),                  intent(in)  :: pdt
      integer,                       intent(in)  :: kdate0
      character(len=*),              intent(in)  :: cdcal, cdlevel
      character(len=:), allocatable, intent(out) :: cdjson
      character(len=256) :: cl
      integer :: jv, jr, jg, jb
      write(cl, '(a,i0,a,a,a)') '{"protocol": ', cpl_protocol, ', "transport": "mpi", "model": "', trim(cmodel), '", '
      cdjson = trim(cl)
      write(cl, '(a,es23.16,a,i0,a,i0,a,i0)') ' "time": {"rn_Dt": ', pdt, ', "nn_it000": ', nit000, ', "nn_itend": ', nitend, &
         &  ', "date0": ', kdate0
      cdjson = cdjson // trim(cl)
      cdjson = cdjson // ', "calendar": "' // trim(cdcal) // '", "level": "' // trim(cdlevel) // '"}, "fields": ['
      do jv = 1, nvar
         if (jv > 1) cdjson = cdjson // ', '
         write(cl, '(a,i0,a,i0,a,a)') '{"id": ', jv, ', "grid": ', var(jv)%ngrd, ', "name": "', trim(var(jv)%cname)
         cdjson = cdjson // trim(cl) // '", "units": "' // trim(var(jv)%cunits)
         write(cl, '(a,i0,a,a,a)') '", "point": "' // var(jv)%cpoint // '", "levels": ', var(jv)%nlev, ', "direction": "', &
            &  trim(merge('out', 'in ', var(jv)%ndir == cpl_out)), '"}'
         cdjson = cdjson // trim(cl)
      end do
      cdjson = cdjson // '], "declared": ['
      do jr = 1, size(kbox, 2)
         write(cl, '(i0)') kbox(1, jr)
         cdjson = cdjson // trim(cl) // trim(merge(', ', '  ', jr < size(kbox, 2)))
      end do
      cdjson = cdjson // '], "grids": ['
      do jg = 1, ngrid
         write(cl, '(a,i0,a,i0,a)') '", "nx": ', nglo(1, jg), ', "ny": ', nglo(2, jg), ', "boundary": "'
         cdjson = cdjson // '{"name": "' // trim(cgrid(jg)) // trim(cl) // trim(cbound(jg)) // '", "domains": ['
         do jr = 1, size(kbox, 2)
            write(cl, '(a,i0,3(a,i0),a)') '[', kbox(4*jg-1, jr), (', ', kbox(4*jg+jb, jr), jb = 0, 2), ']'
            cdjson = cdjson // trim(cl) // trim(merge(', ', '  ', jr < size(kbox, 2)))
         end do
         cdjson = cdjson // ']}' // trim(merge(', ', '  ', jg < ngrid))
      end do
      cdjson = cdjson // ']}'
   end subroutine handshake

   !> Receive and read what coupler rank kc wants: the exchanges, and the runs of this pair of ranks.
   subroutine take_plan(kc, kerr)
      integer, intent(in)  :: kc
      integer, intent(out) :: kerr
      integer(int64), allocatable :: iplan(:)
      integer :: istatus(MPI_STATUS_SIZE), in, ip, je, js, ierr, irun
      type(t_runs), allocatable :: zruns(:)
      call poll_probe(mcoupler(kc), jp_tag_plan, istatus, kerr)
      if (kerr /= 0) return
      call MPI_Get_count(istatus, MPI_INTEGER8, in, ierr)
      allocate(iplan(in))
      call MPI_Recv(iplan, in, MPI_INTEGER8, mcoupler(kc), jp_tag_plan, ncomm_cpl, MPI_STATUS_IGNORE, ierr)
      nwire = int(iplan(2))
      rtimeout = real(iplan(3), real64) * 1.e-3_real64
      rasked = rtimeout - rp_slack
      if (kc == 1) then
         nexc = int(iplan(4))
         allocate(exc(nexc))
      end if
      ip = 4
      do je = 1, nexc
         call take_exchange(iplan, ip, exc(je), kc == 1)
         exc(je)%nid = je
         allocate(zruns(exc(je)%nset))
         irun = 0
         do js = 1, exc(je)%nset
            call take_runs(iplan, ip, nbox(3, exc(je)%ngrd), zruns(js))
            irun = irun + zruns(js)%nval
         end do
         if (irun > 0) call add_peer(exc(je), mcoupler(kc), zruns)
         deallocate(zruns)
      end do
   end subroutine take_plan

   !> The head of one exchange in the plan; kept from the first coupler rank, the same from the others.
   subroutine take_exchange(kplan, kp, pexc, ld_first)
      integer(int64), intent(in)    :: kplan(:)
      integer,        intent(inout) :: kp
      type(t_exc),    intent(inout) :: pexc
      logical,        intent(in)    :: ld_first
      integer :: ifld
      pexc%ndir    = int(kplan(kp+1))
      pexc%nperiod = int(kplan(kp+2))
      pexc%lstatic = iand(int(kplan(kp+3)), jp_plan_static) /= 0
      pexc%lfirst  = iand(int(kplan(kp+3)), jp_plan_first) /= 0
      ifld         = int(kplan(kp+4))
      pexc%nset    = int(kplan(kp+5))
      pexc%nfld    = ifld
      kp = kp + 5
      if (ld_first) then
         pexc%mfld = int(kplan(kp+1:kp+ifld))
         pexc%ngrd = var(pexc%mfld(1))%ngrd
         pexc%mset = int(kplan(kp+ifld+1:kp+2*ifld))
         allocate(pexc%msg(size(mcoupler)))
      end if
      kp = kp + 2*ifld
   end subroutine take_exchange

   !> Runs of the flat local index (start, length), cut at the ends of rows.
   subroutine take_runs(kplan, kp, krow, pruns)
      integer(int64), intent(in)    :: kplan(:)
      integer,        intent(inout) :: kp
      integer,        intent(in)    :: krow   !< length of a row
      type(t_runs),   intent(inout) :: pruns
      integer :: irun, jrun, in, jpass, istart, ilen, ipart
      irun = int(kplan(kp+1))
      kp = kp + 1
      do jpass = 1, 2
         in = 0
         pruns%nval = 0
         do jrun = 1, irun
            istart = int(kplan(kp + 2*jrun - 1))
            ilen   = int(kplan(kp + 2*jrun))
            do while (ilen > 0)
               ipart = min(ilen, krow - mod(istart, krow))
               in = in + 1
               if (jpass == 2) then
                  pruns%mi(in) = mod(istart, krow) + 1
                  pruns%mj(in) = istart / krow + 1
                  pruns%mlen(in) = ipart
               end if
               pruns%nval = pruns%nval + ipart
               istart = istart + ipart
               ilen = ilen - ipart
            end do
         end do
         if (jpass == 1) allocate(pruns%mi(in), pruns%mj(in), pruns%mlen(in))
      end do
      kp = kp + 2*irun
   end subroutine take_runs

   subroutine add_peer(pexc, kpeer, pruns)
      type(t_exc),  intent(inout) :: pexc
      integer,      intent(in)    :: kpeer
      type(t_runs), intent(in)    :: pruns(:)
      pexc%nmsg = pexc%nmsg + 1
      pexc%msg(pexc%nmsg)%npeer = kpeer
      pexc%msg(pexc%nmsg)%runs  = pruns
   end subroutine add_peer

   !> Buffers and persistent requests of every exchange, and the place of every field in them.
   subroutine build_messages()
      integer :: je, jf, jm, ioff, ibytes, ierr
      do je = 1, nexc
         do jf = 1, exc(je)%nfld
            var(exc(je)%mfld(jf))%nexc  = je
            var(exc(je)%mfld(jf))%nslot = jf
         end do
         allocate(exc(je)%mreq(exc(je)%nmsg))
         do jm = 1, exc(je)%nmsg
            allocate(exc(je)%msg(jm)%noff(exc(je)%nfld))
            ioff = 0
            do jf = 1, exc(je)%nfld
               exc(je)%msg(jm)%noff(jf) = ioff
               ioff = ioff + exc(je)%msg(jm)%runs(exc(je)%mset(jf))%nval * var(exc(je)%mfld(jf))%nlev
            end do
            ibytes = jp_head + ioff * (nwire/8)
            call view_message(exc(je)%msg(jm), ibytes)
            if (exc(je)%ndir == cpl_out) then
               call MPI_Send_init(exc(je)%msg(jm)%raw, ibytes, MPI_BYTE, exc(je)%msg(jm)%npeer, jp_tag_exc + je, ncomm_cpl, &
                  &               exc(je)%mreq(jm), ierr)
            else
               call MPI_Recv_init(exc(je)%msg(jm)%raw, ibytes, MPI_BYTE, exc(je)%msg(jm)%npeer, jp_tag_exc + je, ncomm_cpl, &
                  &               exc(je)%mreq(jm), ierr)
            end if
         end do
      end do
   end subroutine build_messages

   !> One buffer, three views: header as integers, payload as reals of either size.
   subroutine view_message(pmsg, kbytes)
      type(t_msg), target, intent(inout) :: pmsg
      integer,             intent(in)    :: kbytes
      allocate(pmsg%raw(max(kbytes, jp_head + 8)))
      pmsg%raw = 0_int8
      call c_f_pointer(c_loc(pmsg%raw), pmsg%head, [jp_head/8])
      if (nwire == 64) then
         call c_f_pointer(c_loc(pmsg%raw(jp_head+1)), pmsg%r8, [(kbytes - jp_head)/8])
      else
         call c_f_pointer(c_loc(pmsg%raw(jp_head+1)), pmsg%r4, [(kbytes - jp_head)/4])
      end if
   end subroutine view_message

   ! --- Exchange -----------------------------------------------------------------------------------------------------

   !> The model writes its restart at the end of step kt: the next message of each exchange to the coupler says so.
   !! Of several steps between two messages the last is told.
   subroutine cpl_restart(kt)
      integer, intent(in) :: kt   !< model step
      nkt_restart = kt
   end subroutine cpl_restart

   !> Status of what the last cpl_rcv of this field delivered: cpl_ok, cpl_held, cpl_fallback or cpl_inactive. Of several ranks
   !! of the coupler the largest counts; a value that is held between two exchanges keeps its status.
   function cpl_status(kfld) result(kstatus)
      integer, intent(in) :: kfld   !< field id from cpl_var
      integer :: kstatus
      kstatus = cpl_inactive
      if (kfld < 1 .or. kfld > nvar) then
         call fail('cpl_status: unknown field id')
      else if (var(kfld)%nexc > 0) then
         kstatus = exc(var(kfld)%nexc)%nstatus
      end if
   end function cpl_status

   !> Would cpl_rcv of this field return at step kt without waiting? True between two exchanges, and when the answer is there.
   !! A model may then take the field early; the bits that it gets do not depend on it.
   function cpl_ready(kfld, kt) result(ld)
      integer, intent(in) :: kfld   !< field id from cpl_var
      integer, intent(in) :: kt     !< model step, counted as the model counts it
      logical :: ld
      type(t_exc), pointer :: zexc
      integer :: ierr
      ld = .true.
      if (kfld < 1 .or. kfld > nvar) then
         call fail('cpl_ready: unknown field id')
      else if (var(kfld)%nexc > 0) then
         zexc => exc(var(kfld)%nexc)
         if (.not. due(zexc, kt)) return
         call post_receive(zexc, kt)
         if (.not. zexc%larrived .and. zexc%nmsg > 0) call MPI_Testall(zexc%nmsg, zexc%mreq, ld, MPI_STATUSES_IGNORE, ierr)
      end if
   end function cpl_ready

   !> Is kt the last step of this run, because the coupler or SIGTERM asked for an early end? Then the model calls cpl_restart(kt),
   !! does the step, writes its restart and calls cpl_finalize; the coupler writes its own. Called at the beginning of every
   !! step, before its first cpl_snd; collective over the model, without a wait for its slowest rank. A model that never
   !! calls it runs to its end. From the first call on SIGTERM is a wish; a second one ends the process.
   function cpl_stop_requested(kt) result(ld)
      integer, intent(in) :: kt   !< model step
      logical :: ld
      type(c_funptr) :: zwas
      integer :: ierr
      ld = .false.
      if (ldescribe .or. .not. ldefined) return
      if (.not. lcaught) zwas = c_signal(jp_sigterm, c_funloc(on_sigterm))
      lcaught = .true.
      if (nend == 0) then
         call finish_wish()
         if (nwishes > 0) nend = early_end(kt)
         nmine = merge(1, 0, lstop .or. lterm)
         call MPI_Iallreduce(nmine, nwishes, 1, MPI_INTEGER, MPI_SUM, ncomm_oce, nreq_wish, ierr)
      end if
      ld = kt == nend
   end function cpl_stop_requested

   subroutine finish_wish()
      integer :: ireq(1), ierr
      ireq = nreq_wish
      call wait_all(1, ireq, ierr)
      nreq_wish = ireq(1)
      if (ierr /= 0) call fail('cpl_stop_requested: not every rank of the model called it within ' // limit())
   end subroutine finish_wish

   subroutine on_sigterm(ksig) bind(C, name='')
      integer(c_int), value :: ksig
      type(c_funptr) :: zwas
      lterm = .true.
      zwas = c_signal(ksig, c_null_funptr)   ! SIG_DFL
   end subroutine on_sigterm

   !> The step at which a run that is to end early ends: the next one of which the coupler hears; 0: not yet.
   pure function early_end(kt) result(kend)
      integer, intent(in) :: kt
      integer :: kend, je
      kend = 0
      do je = 1, nexc
         if (exc(je)%ndir == cpl_out .and. .not. exc(je)%lstatic .and. mod(kt - 1, exc(je)%nperiod) == 0) kend = kt
      end do
   end function early_end

   subroutine snd_3d_r8(kfld, kt, pdata, kerr)
      integer,           intent(in)  :: kfld           !< field id from cpl_var
      integer,           intent(in)  :: kt             !< model step, counted as the model counts it
      real(real64),      intent(in)  :: pdata(:,:,:)   !< (i, j, k), interior only
      integer, optional, intent(out) :: kerr           !< 0 or error code; absent: stop the job
      integer :: jk
      logical :: lldue
      call snd_open(kfld, kt, shape(pdata), lldue, kerr)
      if (.not. lldue) return
      do jk = 1, size(pdata, 3)
         call pack_r8(exc(var(kfld)%nexc), var(kfld)%nslot, jk, pdata(:,:,jk))
      end do
      call snd_close(kfld, kt)
   end subroutine snd_3d_r8

   subroutine snd_3d_r4(kfld, kt, pdata, kerr)
      integer,           intent(in)  :: kfld           !< field id from cpl_var
      integer,           intent(in)  :: kt             !< model step, counted as the model counts it
      real(real32),      intent(in)  :: pdata(:,:,:)   !< (i, j, k), interior only
      integer, optional, intent(out) :: kerr           !< 0 or error code; absent: stop the job
      integer :: jk
      logical :: lldue
      call snd_open(kfld, kt, shape(pdata), lldue, kerr)
      if (.not. lldue) return
      do jk = 1, size(pdata, 3)
         call pack_r4(exc(var(kfld)%nexc), var(kfld)%nslot, jk, pdata(:,:,jk))
      end do
      call snd_close(kfld, kt)
   end subroutine snd_3d_r4

   subroutine snd_2d_r8(kfld, kt, pdata, kerr)
      integer,           intent(in)  :: kfld         !< field id from cpl_var
      integer,           intent(in)  :: kt           !< model step, counted as the model counts it
      real(real64),      intent(in)  :: pdata(:,:)   !< (i, j), interior only
      integer, optional, intent(out) :: kerr         !< 0 or error code; absent: stop the job
      logical :: lldue
      call snd_open(kfld, kt, [shape(pdata), 1], lldue, kerr)
      if (.not. lldue) return
      call pack_r8(exc(var(kfld)%nexc), var(kfld)%nslot, 1, pdata)
      call snd_close(kfld, kt)
   end subroutine snd_2d_r8

   subroutine snd_2d_r4(kfld, kt, pdata, kerr)
      integer,           intent(in)  :: kfld         !< field id from cpl_var
      integer,           intent(in)  :: kt           !< model step, counted as the model counts it
      real(real32),      intent(in)  :: pdata(:,:)   !< (i, j), interior only
      integer, optional, intent(out) :: kerr         !< 0 or error code; absent: stop the job
      logical :: lldue
      call snd_open(kfld, kt, [shape(pdata), 1], lldue, kerr)
      if (.not. lldue) return
      call pack_r4(exc(var(kfld)%nexc), var(kfld)%nslot, 1, pdata)
      call snd_close(kfld, kt)
   end subroutine snd_2d_r4

   !> Is the field due at step kt? Then make its buffers free, once per exchange and step.
   subroutine snd_open(kfld, kt, kshape, ld_due, kerr)
      integer,           intent(in)    :: kfld, kt, kshape(3)
      logical,           intent(out)   :: ld_due
      integer, optional, intent(inout) :: kerr
      type(t_exc), pointer :: zexc
      integer :: ierr
      if (present(kerr)) kerr = 0
      ld_due = .false.
      call check_call(kfld, cpl_out, kshape, 'cpl_snd', kt, ierr, kerr)
      if (ierr /= 0) return
      if (var(kfld)%nexc == 0) return
      zexc => exc(var(kfld)%nexc)
      if (.not. due(zexc, kt)) return
      if (zexc%nkt /= kt .and. .not. (zexc%lstatic .and. zexc%nkt >= 0)) then
         if (zexc%npacked > 0) then
            call fail(at_step('cpl_snd: exchange left unfinished, it still lacks field ' // trim(missing(zexc)), zexc%nkt), kerr)
            return
         end if
         call timed_wait(zexc, ierr)
         if (ierr /= 0) then
            call fail(at_step('the coupler did not take field ' // trim(var(kfld)%cname) // ' within ' // trim(limit()), kt), kerr)
            return
         end if
         zexc%nkt = kt
         var(zexc%mfld)%ldone = .false.
      end if
      if (var(kfld)%ldone) then
         call fail(at_step('cpl_snd: field ' // trim(var(kfld)%cname) // ' is sent twice', kt), kerr)
         return
      end if
      ld_due = .true.
   end subroutine snd_open

   !> The last field of an exchange sends the messages and posts the receives of the same step.
   subroutine snd_close(kfld, kt)
      integer, intent(in) :: kfld, kt
      type(t_exc), pointer :: zexc
      integer :: jm, je, ierr
      integer(int64) :: iflags, irestart
      zexc => exc(var(kfld)%nexc)
      var(kfld)%ldone = .true.
      zexc%npacked = zexc%npacked + 1
      if (zexc%npacked < zexc%nfld) return
      zexc%npacked = 0
      iflags = merge(int(jp_flag_last, int64), 0_int64, kt >= last_step(zexc))
      irestart = int(restart_word(zexc), int64)
      do jm = 1, zexc%nmsg
         zexc%msg(jm)%head = 0_int64
         zexc%msg(jm)%head(1:6) = [jp_magic, int(kt, int64), int(zexc%nid, int64), iflags, irestart, int(nend, int64)]
      end do
      if (zexc%nmsg > 0) call MPI_Startall(zexc%nmsg, zexc%mreq, ierr)
      do je = 1, nexc
         if (exc(je)%ndir == cpl_in .and. .not. zexc%lstatic) call post_receive(exc(je), kt)
      end do
   end subroutine snd_close

   subroutine pack_r8(pexc, kslot, klev, pdata)
      type(t_exc),  intent(inout) :: pexc
      integer,      intent(in)    :: kslot, klev
      real(real64), intent(in)    :: pdata(:,:)
      integer :: jm, jr, ip, i1, il
      integer(int64) :: it0
      call system_clock(it0)
      do jm = 1, pexc%nmsg
         associate (zmsg => pexc%msg(jm), zruns => pexc%msg(jm)%runs(pexc%mset(kslot)))
            ip = zmsg%noff(kslot) + (klev - 1) * zruns%nval
            do jr = 1, size(zruns%mi)
               i1 = zruns%mi(jr) ; il = zruns%mlen(jr)
               if (nwire == 64) then
                  zmsg%r8(ip+1:ip+il) = pdata(i1:i1+il-1, zruns%mj(jr))
               else
                  zmsg%r4(ip+1:ip+il) = real(pdata(i1:i1+il-1, zruns%mj(jr)), real32)
               end if
               ip = ip + il
            end do
         end associate
      end do
      call clock_add(1, it0)
   end subroutine pack_r8

   subroutine pack_r4(pexc, kslot, klev, pdata)
      type(t_exc),  intent(inout) :: pexc
      integer,      intent(in)    :: kslot, klev
      real(real32), intent(in)    :: pdata(:,:)
      integer :: jm, jr, ip, i1, il
      integer(int64) :: it0
      call system_clock(it0)
      do jm = 1, pexc%nmsg
         associate (zmsg => pexc%msg(jm), zruns => pexc%msg(jm)%runs(pexc%mset(kslot)))
            ip = zmsg%noff(kslot) + (klev - 1) * zruns%nval
            do jr = 1, size(zruns%mi)
               i1 = zruns%mi(jr) ; il = zruns%mlen(jr)
               if (nwire == 64) then
                  zmsg%r8(ip+1:ip+il) = real(pdata(i1:i1+il-1, zruns%mj(jr)), real64)
               else
                  zmsg%r4(ip+1:ip+il) = pdata(i1:i1+il-1, zruns%mj(jr))
               end if
               ip = ip + il
            end do
         end associate
      end do
      call clock_add(1, it0)
   end subroutine pack_r4

   subroutine rcv_3d_r8(kfld, kt, pdata, kerr)
      integer,           intent(in)    :: kfld           !< field id from cpl_var
      integer,           intent(in)    :: kt             !< model step
      real(real64),      intent(inout) :: pdata(:,:,:)   !< (i, j, k), interior only; untouched between coupling steps
      integer, optional, intent(out)   :: kerr           !< 0 or error code; absent: stop the job
      integer :: jk
      logical :: llnew, llzero
      call rcv_open(kfld, kt, shape(pdata), llnew, llzero, kerr)
      if (llzero) pdata = -0.0_real64
      if (.not. llnew) return
      do jk = 1, size(pdata, 3)
         call unpack_r8(exc(var(kfld)%nexc), var(kfld)%nslot, jk, pdata(:,:,jk))
      end do
   end subroutine rcv_3d_r8

   subroutine rcv_3d_r4(kfld, kt, pdata, kerr)
      integer,           intent(in)    :: kfld           !< field id from cpl_var
      integer,           intent(in)    :: kt             !< model step
      real(real32),      intent(inout) :: pdata(:,:,:)   !< (i, j, k), interior only; untouched between coupling steps
      integer, optional, intent(out)   :: kerr           !< 0 or error code; absent: stop the job
      integer :: jk
      logical :: llnew, llzero
      call rcv_open(kfld, kt, shape(pdata), llnew, llzero, kerr)
      if (llzero) pdata = -0.0_real32
      if (.not. llnew) return
      do jk = 1, size(pdata, 3)
         call unpack_r4(exc(var(kfld)%nexc), var(kfld)%nslot, jk, pdata(:,:,jk))
      end do
   end subroutine rcv_3d_r4

   subroutine rcv_2d_r8(kfld, kt, pdata, kerr)
      integer,           intent(in)    :: kfld         !< field id from cpl_var
      integer,           intent(in)    :: kt           !< model step
      real(real64),      intent(inout) :: pdata(:,:)   !< (i, j), interior only; untouched between coupling steps
      integer, optional, intent(out)   :: kerr         !< 0 or error code; absent: stop the job
      logical :: llnew, llzero
      call rcv_open(kfld, kt, [shape(pdata), 1], llnew, llzero, kerr)
      if (llzero) pdata = -0.0_real64
      if (llnew) call unpack_r8(exc(var(kfld)%nexc), var(kfld)%nslot, 1, pdata)
   end subroutine rcv_2d_r8

   subroutine rcv_2d_r4(kfld, kt, pdata, kerr)
      integer,           intent(in)    :: kfld         !< field id from cpl_var
      integer,           intent(in)    :: kt           !< model step
      real(real32),      intent(inout) :: pdata(:,:)   !< (i, j), interior only; untouched between coupling steps
      integer, optional, intent(out)   :: kerr         !< 0 or error code; absent: stop the job
      logical :: llnew, llzero
      call rcv_open(kfld, kt, [shape(pdata), 1], llnew, llzero, kerr)
      if (llzero) pdata = -0.0_real32
      if (llnew) call unpack_r4(exc(var(kfld)%nexc), var(kfld)%nslot, 1, pdata)
   end subroutine rcv_2d_r4

   !> What the next message of an exchange says of restarts: the last step since its message before, 0 for none.
   function restart_word(pexc) result(kword)
      type(t_exc), intent(inout) :: pexc
      integer :: kword
      kword = merge(nkt_restart, 0, nkt_restart > pexc%nkt_told)
      pexc%nkt_told = max(nkt_restart, pexc%nkt_told)
   end function restart_word

   !> Is a new value due at step kt? Then wait for the messages of its exchange, once per step.
   !! The first receive of a field that nobody couples delivers the neutral tendency: x + (-0.0) is x, bit for bit.
   subroutine rcv_open(kfld, kt, kshape, ld_new, ld_zero, kerr)
      integer,           intent(in)    :: kfld, kt, kshape(3)
      logical,           intent(out)   :: ld_new, ld_zero
      integer, optional, intent(inout) :: kerr
      type(t_exc), pointer :: zexc
      integer :: jm, ierr
      if (present(kerr)) kerr = 0
      ld_new = .false. ; ld_zero = .false.
      call check_call(kfld, cpl_in, kshape, 'cpl_rcv', kt, ierr, kerr)
      if (ierr /= 0) return
      ld_zero = var(kfld)%lfirst
      var(kfld)%lfirst = .false.
      if (var(kfld)%nexc == 0) return
      zexc => exc(var(kfld)%nexc)
      if (.not. due(zexc, kt)) return
      call post_receive(zexc, kt)
      if (.not. zexc%larrived) then
         call timed_wait(zexc, ierr)
         if (ierr /= 0) then
            call fail(at_step('no answer from the coupler for field ' // trim(var(kfld)%cname) // ' within ' // &
               &      trim(limit()) // '. Were all fields of the exchange to the coupler sent before?', kt), kerr)
            return
         end if
         zexc%larrived = .true.
         zexc%nstatus = cpl_ok
         do jm = 1, zexc%nmsg
            if (zexc%msg(jm)%head(1) /= jp_magic .or. zexc%msg(jm)%head(2) /= int(kt, int64)) then
               call fail(at_step('the answer of the coupler belongs to another step', kt), kerr)
               return
            end if
            zexc%nstatus = max(zexc%nstatus, int(zexc%msg(jm)%head(4)))
            if (zexc%msg(jm)%head(5) /= 0_int64) lstop = .true.
         end do
      end if
      ld_new = .true.
   end subroutine rcv_open

   subroutine post_receive(pexc, kt)
      type(t_exc), intent(inout) :: pexc
      integer,     intent(in)    :: kt
      integer :: ierr
      if (.not. due(pexc, kt) .or. pexc%nkt == kt) return
      pexc%nkt = kt
      pexc%larrived = .false.
      if (pexc%nmsg > 0) call MPI_Startall(pexc%nmsg, pexc%mreq, ierr)
   end subroutine post_receive

   subroutine unpack_r8(pexc, kslot, klev, pdata)
      type(t_exc),  intent(in)    :: pexc
      integer,      intent(in)    :: kslot, klev
      real(real64), intent(inout) :: pdata(:,:)
      integer :: jm, jr, ip, i1, il
      integer(int64) :: it0
      call system_clock(it0)
      do jm = 1, pexc%nmsg
         associate (zmsg => pexc%msg(jm), zruns => pexc%msg(jm)%runs(pexc%mset(kslot)))
            ip = zmsg%noff(kslot) + (klev - 1) * zruns%nval
            do jr = 1, size(zruns%mi)
               i1 = zruns%mi(jr) ; il = zruns%mlen(jr)
               if (nwire == 64) then
                  pdata(i1:i1+il-1, zruns%mj(jr)) = zmsg%r8(ip+1:ip+il)
               else
                  pdata(i1:i1+il-1, zruns%mj(jr)) = real(zmsg%r4(ip+1:ip+il), real64)
               end if
               ip = ip + il
            end do
         end associate
      end do
      call clock_add(3, it0)
   end subroutine unpack_r8

   subroutine unpack_r4(pexc, kslot, klev, pdata)
      type(t_exc),  intent(in)    :: pexc
      integer,      intent(in)    :: kslot, klev
      real(real32), intent(inout) :: pdata(:,:)
      integer :: jm, jr, ip, i1, il
      integer(int64) :: it0
      call system_clock(it0)
      do jm = 1, pexc%nmsg
         associate (zmsg => pexc%msg(jm), zruns => pexc%msg(jm)%runs(pexc%mset(kslot)))
            ip = zmsg%noff(kslot) + (klev - 1) * zruns%nval
            do jr = 1, size(zruns%mi)
               i1 = zruns%mi(jr) ; il = zruns%mlen(jr)
               if (nwire == 64) then
                  pdata(i1:i1+il-1, zruns%mj(jr)) = real(zmsg%r8(ip+1:ip+il), real32)
               else
                  pdata(i1:i1+il-1, zruns%mj(jr)) = zmsg%r4(ip+1:ip+il)
               end if
               ip = ip + il
            end do
         end associate
      end do
      call clock_add(3, it0)
   end subroutine unpack_r4

   ! --- Checks and waits ---------------------------------------------------------------------------------------------

   !> Errors that only a wrong call can cause: id, direction, shape, step.
   subroutine check_call(kfld, kdir, kshape, cdwho, kt, kbad, kerr)
      integer,           intent(in)    :: kfld, kdir, kshape(3), kt
      character(len=*),  intent(in)    :: cdwho
      integer,           intent(out)   :: kbad
      integer, optional, intent(inout) :: kerr
      character(len=160) :: clmsg
      kbad = 1
      if (ldescribe) return
      if (.not. ldefined) then
         call fail(cdwho // ': called before cpl_define', kerr)
      else if (kfld < 1 .or. kfld > nvar) then
         call fail(at_step(cdwho // ': unknown field id', kt), kerr)
      else if (var(kfld)%ndir /= kdir) then
         call fail(at_step(cdwho // ': field ' // trim(var(kfld)%cname) // ' was declared for the other direction', kt), kerr)
      else if (any(kshape /= [nbox(3:4, var(kfld)%ngrd), var(kfld)%nlev])) then
         write(clmsg, '(6(a,i0),a)') ' has the shape (', kshape(1), ',', kshape(2), ',', kshape(3), '), declared (', &
            &  nbox(3, var(kfld)%ngrd), ',', nbox(4, var(kfld)%ngrd), ',', var(kfld)%nlev, &
            &  '); pass the interior alone, without halo'
         call fail(at_step(cdwho // ': field ' // trim(var(kfld)%cname) // trim(clmsg), kt), kerr)
      else if (kt > nitend) then
         write(clmsg, '(a,i0)') ' beyond the last step given to cpl_define, ', nitend
         call fail(at_step(cdwho // ': field ' // trim(var(kfld)%cname) // trim(clmsg), kt), kerr)
      else
         kbad = 0
      end if
   end subroutine check_call

   !> Periods count from step 1 of the experiment; a static exchange is due once.
   !! A run that begins between two exchanges gets what is held from the coupler, when the plan says so.
   pure function due(pexc, kt) result(ld)
      type(t_exc), intent(in) :: pexc
      integer,     intent(in) :: kt
      logical :: ld
      if (pexc%lstatic) then
         ld = pexc%nkt < 0 .or. pexc%npacked > 0
      else
         ld = mod(kt - 1, pexc%nperiod) == 0 .or. (pexc%lfirst .and. kt == nit000)
      end if
   end function due

   !> The last step of this run at which the exchange is due.
   pure function last_step(pexc) result(kt)
      type(t_exc), intent(in) :: pexc
      integer :: kt, iend
      if (pexc%lstatic) then
         kt = min(pexc%nkt, nit000)
      else
         iend = merge(nend, nitend, nend > 0)
         kt = iend - mod(iend - 1, pexc%nperiod)
      end if
   end function last_step

   function missing(pexc) result(cdname)
      type(t_exc), intent(in) :: pexc
      character(len=jp_len) :: cdname
      integer :: jf
      cdname = ''
      do jf = 1, pexc%nfld
         if (.not. var(pexc%mfld(jf))%ldone) cdname = var(pexc%mfld(jf))%cname
      end do
   end function missing

   function at_step(cdmsg, kt) result(cdout)
      character(len=*), intent(in)  :: cdmsg
      integer,          intent(in)  :: kt
      character(len=:), allocatable :: cdout
      character(len=16) :: cl
      write(cl, '(i0)') kt
      cdout = cdmsg // ' (step ' // trim(cl) // ')'
   end function at_step

   !> How long a wait was, in words.
   function limit() result(cd)
      character(len=64) :: cd
      cd = 'the start-up time-out of ' // secs(rtimeout)
      if (rasked > 0._real64) cd = 'rn_timeout = ' // trim(secs(rasked)) // ' and ' // trim(secs(rtimeout - rasked)) // ' more'
   end function limit

   function secs(psec) result(cd)
      real(real64), intent(in) :: psec
      character(len=16) :: cd
      write(cd, '(f0.1,a)') psec, ' s'
   end function secs

   subroutine clock_add(kslot, kt0)
      integer,        intent(in) :: kslot
      integer(int64), intent(in) :: kt0
      integer(int64) :: it1, irate
      call system_clock(it1, irate)
      rtime(kslot) = rtime(kslot) + real(it1 - kt0, real64) / real(irate, real64)
   end subroutine clock_add

   subroutine timed_wait(pexc, kerr)
      type(t_exc), intent(inout) :: pexc
      integer,     intent(out)   :: kerr
      integer(int64) :: it0
      kerr = 0
      if (pexc%nkt < 0) return
      call system_clock(it0)
      call wait_all(pexc%nmsg, pexc%mreq, kerr)
      call clock_add(2, it0)
   end subroutine timed_wait

   !> Poll until all requests are complete: spin, then give the core away, then sleep; 0, or 1 at the time-out.
   subroutine wait_all(kn, kreq, kerr)
      integer, intent(in)    :: kn
      integer, intent(inout) :: kreq(:)
      integer, intent(out)   :: kerr
      logical :: llflag
      integer :: ierr, itry
      integer(int64) :: it0
      kerr = 0
      if (kn == 0) return
      call system_clock(it0)
      itry = 0
      do
         call MPI_Testall(kn, kreq, llflag, MPI_STATUSES_IGNORE, ierr)
         if (llflag) return
         call pause_poll(itry, it0, kerr)
         if (kerr /= 0) return
      end do
   end subroutine wait_all

   subroutine poll_probe(krank, ktag, kstatus, kerr)
      integer, intent(in)  :: krank, ktag
      integer, intent(out) :: kstatus(MPI_STATUS_SIZE), kerr
      logical :: llflag
      integer :: ierr, itry
      integer(int64) :: it0
      kerr = 0
      call system_clock(it0)
      itry = 0
      do
         call MPI_Iprobe(krank, ktag, ncomm_cpl, llflag, kstatus, ierr)
         if (llflag) return
         call pause_poll(itry, it0, kerr)
         if (kerr /= 0) return
      end do
   end subroutine poll_probe

   !> 500 tests at full speed, then the core is offered to others, after 5 ms naps of 0.1 ms; 1 at the time-out.
   subroutine pause_poll(ktry, kt0, kerr)
      integer,        intent(inout) :: ktry
      integer(int64), intent(in)    :: kt0
      integer,        intent(out)   :: kerr
      integer(int64) :: it1, irate
      integer(c_int) :: iret
      real(real64) :: zel
      kerr = 0
      ktry = ktry + 1
      if (ktry < 500) return
      call system_clock(it1, irate)
      zel = real(it1 - kt0, real64) / real(irate, real64)
      if (zel > rtimeout) then
         kerr = 1
      else if (zel < 5.e-3_real64) then
         iret = c_yield()
      else
         iret = c_usleep(100_c_int)
      end if
   end subroutine pause_poll
end module cpl_halocline
