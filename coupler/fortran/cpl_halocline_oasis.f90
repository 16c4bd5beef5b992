!> Halocline client over OASIS3-MCT: the same calls as cpl_halocline_mpi.f90; a model changes nothing but what it links.
!!
!! OASIS carries the fields, as coupled fields hal_o_NAME (ocean side) and hal_c_NAME (coupler side) of the namcouple that
!! `halocline namcouple` writes. Levels are packed into one index space of nx * ny * nlev points on small grids, and travel
!! one by one (hal_o_NAME_001, ...) on large ones. Each exchange has a field of eight numbers for its header. The handshake
!! travels as MPI messages between the two programs, over an intercommunicator.
!! Order and meaning of the calls: see cpl_halocline_mpi.f90. OASIS time is in seconds, or in steps where seconds do not fit
!! the namcouple (eight digits); the coupler tells which. Waiting inside OASIS cannot be polled: the coupler ends a stuck job.
!! Versions of the protocol: as there; the coupler compares that of the handshake with its own.
!! Needs OASIS3-MCT (mod_oasis) and MPI. Plain ASCII without quotes in comments, for traditional preprocessors.
module cpl_halocline
   use, intrinsic :: iso_fortran_env, only : int64, real32, real64, error_unit, output_unit
   use, intrinsic :: iso_c_binding,   only : c_int, c_funptr, c_funloc, c_null_funptr
   use mpi
   use mod_oasis, only : oasis_init_comp, oasis_get_localcomm, oasis_get_intercomm, oasis_def_partition, oasis_def_var, &
      &                  oasis_enddef, oasis_put, oasis_get, oasis_terminate, oasis_double, oasis_in, oasis_out, oasis_recvd, &
      &                  oasis_recvout, oasis_fromrest
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

   integer, parameter :: jp_tag_table = 31002, jp_tag_shake = 31003, jp_tag_plan = 31004
   integer, parameter :: jp_flag_last = 1, jp_plan_static = 1, jp_plan_first = 2
   integer, parameter :: jp_head = 8                !< numbers of a header
   integer, parameter :: jp_grids = 8                         ! most grids of a model
   integer, parameter :: jp_len = 64                !< characters of a name
   real(real64), parameter :: rp_slack = 3._real64            ! the coupler adds it: the side that knows the cause speaks first
   integer(c_int), parameter :: jp_sigterm = 15_c_int, jp_sigalrm = 14_c_int
   character(len=6), parameter :: cp_coupler = 'halocl'   !< name of the coupler in the namcouple

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
      function c_alarm(ksec) bind(C, name='alarm') result(kleft)
         import :: c_int
         implicit none
         integer(c_int), value :: ksec
         integer(c_int)        :: kleft
      end function c_alarm
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
      integer :: nexc = 0                    ! its exchange; 0: the namelist does not couple it
      integer, allocatable :: moasis(:)      ! ids of the coupled fields: one packed, or one per level
      logical :: ldone = .false.             ! handled at the current step of its exchange
      logical :: lfirst = .true.             ! never delivered yet
   end type t_var

   !> A group of fields that travel together.
   type :: t_exc
      integer :: nid = 0, ndir = 0, nperiod = 1, nfld = 0
      logical :: lstatic = .false.
      logical :: lfirst = .false.            ! delivered at nit000 too, whatever the period
      integer, allocatable :: mfld(:)        ! field ids
      integer :: nhead = -1                  ! id of the coupled field of the header
      integer :: nkt = -1                    ! step being packed or last received
      integer :: npacked = 0
      integer :: nkt_told = 0                ! last restart that the coupler knows of
      integer :: nstatus = cpl_inactive      ! of the last delivery
   end type t_exc

   type(t_var), allocatable, save :: var(:)
   type(t_exc), allocatable, target, save :: exc(:)
   real(real64), allocatable, save :: zbuf(:)                 ! one field, all levels
   integer, save :: nvar = 0, nexc = 0, ncomp = -1
   integer, save :: ncomm_oce = MPI_COMM_NULL, ncomm_cpl = MPI_COMM_NULL
   integer, save :: nrank = -1, nsize_oce = 0, nrank_oce = -1  ! rank in the world; size and rank in the model
   character(len=jp_len), save :: cmodel = ''
   integer, save :: nwire = 64
   integer, save :: nit000 = 1, nitend = 0, nkt_restart = 0
   integer, save :: nend = 0                                  ! last step of a run that was asked to end early; 0: it was not
   integer, save :: nmine = 0, nwishes = 0, nreq_wish = MPI_REQUEST_NULL ! this rank wishes it, how many do, and the sum under way
   character(len=160), save :: cwork = ''                     ! what a call of OASIS waits for
   logical, save :: lcaught = .false.                         ! SIGTERM is a wish from now on
   logical, save, volatile :: lterm = .false.                 ! it came
   integer, save :: nunit = 1                                 ! OASIS time of a step: its seconds, or 1
   integer, save :: nbylevel = 0                              ! grids of so many points travel level by level
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

   !> Start OASIS and meet the coupler. MPI is started here when the model has not done so.
   subroutine cpl_init(cdname, kcomm, kcomm_parent, ld_describe, kerr)
      character(len=*),  intent(in)  :: cdname         !< name of the model; its first six letters name it in the namcouple
      integer,           intent(out) :: kcomm          !< communicator of the model, for its own start-up
      integer, optional, intent(in)  :: kcomm_parent   !< not with this OASIS, which takes the world: an error
      logical, optional, intent(in)  :: ld_describe    !< no coupler: cpl_define prints the handshake and returns
      integer, optional, intent(out) :: kerr           !< 0 or error code; absent: stop the job
      logical :: llini
      integer :: ierr
      character(len=6) :: clcomp

      if (present(kerr)) kerr = 0
      kcomm = MPI_COMM_NULL
      inquire(file='halocline.abort', exist=loldabort)
      call MPI_Initialized(llini, ierr)
      if (.not. llini) call MPI_Init(ierr)
      if (present(ld_describe)) ldescribe = ld_describe
      call get_environment_variable('HALOCLINE_DESCRIBE', status=ierr)
      lend = ierr == 0 .and. .not. ldescribe
      ldescribe = ldescribe .or. lend
      call MPI_Comm_rank(MPI_COMM_WORLD, nrank, ierr)
      cmodel = cdname
      call read_timeout()
      call system_clock(mclock0)
      if (present(kcomm_parent)) then
         call fail('cpl_init: OASIS3-MCT takes the world, a parent communicator is possible over MPI only', kerr)
         return
      end if
      if (ldescribe) then
         call MPI_Comm_dup(MPI_COMM_WORLD, ncomm_oce, ierr)
      else
         inquire(file='namcouple', exist=llini)
         if (.not. llini) then
            call fail('cpl_init: no namcouple in this folder. Write it: halocline namcouple CFG', kerr)
            return
         end if
         call tell_client()
         clcomp = cdname
         call watch('not every program of the launch has started OASIS')
         call oasis_init_comp(ncomp, trim(clcomp), ierr)
         call oasis_get_localcomm(ncomm_oce, ierr)
         call oasis_get_intercomm(ncomm_cpl, cp_coupler, ierr)
         call unwatch()
      end if
      call MPI_Comm_size(ncomm_oce, nsize_oce, ierr)
      call MPI_Comm_rank(ncomm_oce, nrank_oce, ierr)
      kcomm = ncomm_oce
   end subroutine cpl_init

   !> A coupler that is told cn_transport = mpi waits for a table from rank 0: this one says that the model speaks OASIS.
   subroutine tell_client()
      integer :: jr, isize, ierr, ireq
      integer, save :: itable(2) = -1
      if (nrank /= 0) return
      call MPI_Comm_size(MPI_COMM_WORLD, isize, ierr)
      do jr = 1, isize - 1
         call MPI_Isend(itable, 2, MPI_INTEGER, jr, jp_tag_table, MPI_COMM_WORLD, ireq, ierr)
         call MPI_Request_free(ireq, ierr)
      end do
   end subroutine tell_client

   subroutine read_timeout()
      character(len=32) :: clval
      integer :: istat
      real(real64) :: zval
      call get_environment_variable('HALOCLINE_TIMEOUT_START', clval, status=istat)
      if (istat /= 0) return
      read(clval, *, iostat=istat) zval
      if (istat == 0 .and. zval > 0._real64) rtimeout = zval
   end subroutine read_timeout

   !> End of the exchanges of this run: OASIS ends with all its components, timers and the end marker are written.
   !! Collective over the model; does not call MPI_Finalize.
   subroutine cpl_finalize(kerr)
      integer, optional, intent(out) :: kerr   !< 0 or error code
      integer :: je, ierr
      integer(int64) :: iclock, irate
      real(real64) :: zmine(4)
      if (present(kerr)) kerr = 0
      if (ldescribe .or. .not. ldefined) return
      call finish_wish()
      do je = 1, nexc
         if (exc(je)%ndir == cpl_out .and. .not. exc(je)%lstatic .and. exc(je)%nkt < last_step(exc(je))) then
            call fail(at_step('cpl_finalize: the model ends early; over OASIS a run has the length given to cpl_define', &
               &      exc(je)%nkt), kerr)
            return
         end if
      end do
      call system_clock(iclock, irate)
      zmine(1:3) = rtime
      zmine(4) = real(iclock - mclock0, real64) / real(irate, real64)
      call write_end(zmine)
      call watch('the coupler does not end OASIS (oasis_terminate)')
      call oasis_terminate(ierr)
      call unwatch()
      ldefined = .false.
   end subroutine cpl_finalize

   !> Seconds of all ranks and the end marker halocline.ocean.json, which appears whole.
   subroutine write_end(pmine)
      real(real64), intent(in) :: pmine(4)
      integer :: iunit, ierr
      real(real64), allocatable :: zall(:,:)
      allocate(zall(4, nsize_oce))
      call MPI_Gather(pmine, 4, MPI_DOUBLE_PRECISION, zall, 4, MPI_DOUBLE_PRECISION, 0, ncomm_oce, ierr)
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
   end subroutine write_end

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

   !> Hand calendar, grid and fields to the coupler, take the exchanges from it, define them in OASIS. Collective.
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
      integer :: ierr, ireq(1)
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
            call MPI_Isend(cljson, len(cljson), MPI_CHARACTER, 0, jp_tag_shake, ncomm_cpl, ireq(1), ierr)
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
      call take_plan(ierr)
      if (ierr /= 0) then
         call fail('cpl_define: the coupler sends no plan within ' // trim(secs(rtimeout)) // &
            &      '. Its own message, if any, says why.', kerr)
         return
      end if
      call define_oasis()
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
      write(cl, '(a,i0,a,a,a)') '{"protocol": ', cpl_protocol, ', "transport": "oasis", "model": "', trim(cmodel), '", '
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

   !> The exchanges, from the first rank of the coupler to the first of the model, then to all.
   subroutine take_plan(kerr)
      integer, intent(out) :: kerr
      integer(int64), allocatable :: iplan(:)
      integer :: istatus(MPI_STATUS_SIZE), in, ip, je, ifld, ierr
      in = 0
      kerr = 0
      if (nrank_oce == 0) then
         call poll_probe(0, jp_tag_plan, istatus, kerr)
         if (kerr == 0) call MPI_Get_count(istatus, MPI_INTEGER8, in, ierr)
      end if
      call MPI_Bcast(in, 1, MPI_INTEGER, 0, ncomm_oce, ierr)
      if (in == 0) then
         kerr = 1
         return
      end if
      allocate(iplan(in))
      if (nrank_oce == 0) call MPI_Recv(iplan, in, MPI_INTEGER8, 0, jp_tag_plan, ncomm_cpl, MPI_STATUS_IGNORE, ierr)
      call MPI_Bcast(iplan, in, MPI_INTEGER8, 0, ncomm_oce, ierr)
      nwire = int(iplan(2))
      rtimeout = real(iplan(3), real64) * 1.e-3_real64
      rasked = rtimeout - rp_slack
      nexc = int(iplan(4))
      nunit = int(iplan(5))
      nbylevel = int(iplan(6))
      allocate(exc(nexc))
      ip = 6
      do je = 1, nexc
         exc(je)%nid     = je
         exc(je)%ndir    = int(iplan(ip+1))
         exc(je)%nperiod = int(iplan(ip+2))
         exc(je)%lstatic = iand(int(iplan(ip+3)), jp_plan_static) /= 0
         exc(je)%lfirst  = iand(int(iplan(ip+3)), jp_plan_first) /= 0
         ifld            = int(iplan(ip+4))
         exc(je)%nfld    = ifld
         exc(je)%mfld    = int(iplan(ip+5:ip+4+ifld))
         ip = ip + 4 + ifld
      end do
   end subroutine take_plan

   !> Partitions (rows of the interior, level by level), coupled fields and headers; then the end of the definitions.
   subroutine define_oasis()
      integer :: je, jf, jk, jv, jg, ierr, ilev, ihead, isize
      integer :: ipart(huge_levels(), ngrid), inone(4)
      character(len=8) :: clexc
      character(len=4) :: cllev
      ipart = -1
      inone = [3, 1, 0, merge(jp_head, 0, nrank_oce == 0)]
      call oasis_def_partition(ihead, inone, ierr, jp_head)
      do je = 1, nexc
         do jf = 1, exc(je)%nfld
            jv = exc(je)%mfld(jf)
            ilev = merge(1, var(jv)%nlev, by_level(jv))
            jg = var(jv)%ngrd
            isize = nbox(3, jg) * nbox(4, jg)
            if (ipart(ilev, jg) < 0) call partition(ilev, nglo(:, jg), nbox(:, jg), ipart(ilev, jg))
            var(jv)%nexc = je
            allocate(var(jv)%moasis(var(jv)%nlev / ilev))
            do jk = 1, size(var(jv)%moasis)
               cllev = ''
               if (by_level(jv)) write(cllev, '(a,i3.3)') '_', jk
               call oasis_def_var(var(jv)%moasis(jk), 'hal_o_' // trim(var(jv)%cname) // trim(cllev), ipart(ilev, jg), &
                  &               [1, 1], merge(oasis_out, oasis_in, exc(je)%ndir == cpl_out), [1, isize*ilev], oasis_double, ierr)
            end do
         end do
         write(clexc, '(i0)') je
         if (exc(je)%ndir == cpl_out) then
            call oasis_def_var(exc(je)%nhead, 'hal_o_head_' // trim(clexc), ihead, [1, 1], oasis_out, &
               &               [1, inone(4)], oasis_double, ierr)
         else
            call head_everywhere(exc(je), 'hal_o_head_' // trim(clexc))
         end if
      end do
      allocate(zbuf(max(1, maxval(nbox(3, 1:ngrid) * nbox(4, 1:ngrid)) * huge_levels())))
      call watch('the coupler does not end the definitions in OASIS (oasis_enddef)')
      call oasis_enddef(ierr)
      call unwatch()
   end subroutine define_oasis

   !> Does a field travel level by level? The packed form wins on small grids, where the calls cost most.
   pure function by_level(kv) result(ld)
      integer, intent(in) :: kv
      logical :: ld
      ld = var(kv)%nlev > 1 .and. nglo(1, var(kv)%ngrd)*nglo(2, var(kv)%ngrd) >= nbylevel
   end function by_level

   !> The largest number of levels of any field.
   pure function huge_levels() result(klev)
      integer :: klev, jv
      klev = 1
      do jv = 1, nvar
         klev = max(klev, var(jv)%nlev)
      end do
   end function huge_levels

   !> Rows of the interior at every level, in the order of the packed array.
   subroutine partition(klev, kglo, kbox, kpart)
      integer, intent(in)  :: klev, kglo(2), kbox(4)   !< levels, global sizes, offsets and sizes of the interior
      integer, intent(out) :: kpart
      integer :: iseg(2 + 2*klev*max(kbox(4), 1)), jk, jj, in, ierr
      in = klev * kbox(4)
      if (kbox(3) == 0) in = 0
      iseg = 0
      iseg(1) = 3
      iseg(2) = max(in, 1)
      in = 2
      do jk = 0, klev - 1
         do jj = 0, kbox(4) - 1
            iseg(in+1) = jk*kglo(1)*kglo(2) + (kbox(2) + jj)*kglo(1) + kbox(1)
            iseg(in+2) = kbox(3)
            in = in + 2
         end do
      end do
      call oasis_def_partition(kpart, iseg(1:2 + 2*iseg(2)), ierr, kglo(1)*kglo(2)*klev)
   end subroutine partition

   !> The header of an answer reaches every rank.
   subroutine head_everywhere(pexc, cdname)
      type(t_exc),      intent(inout) :: pexc
      character(len=*), intent(in)    :: cdname
      integer :: ipart, ierr
      call oasis_def_partition(ipart, [3, 1, 0, jp_head], ierr, jp_head)
      call oasis_def_var(pexc%nhead, cdname, ipart, [1, 1], oasis_in, [1, jp_head], oasis_double, ierr)
   end subroutine head_everywhere

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

   !> Would cpl_rcv of this field return at step kt without waiting? True between two exchanges; at an exchange OASIS cannot tell.
   !! A model may then take the field early; the bits that it gets do not depend on it.
   function cpl_ready(kfld, kt) result(ld)
      integer, intent(in) :: kfld   !< field id from cpl_var
      integer, intent(in) :: kt     !< model step, counted as the model counts it
      logical :: ld
      ld = .true.
      if (kfld < 1 .or. kfld > nvar) then
         call fail('cpl_ready: unknown field id')
      else if (var(kfld)%nexc > 0) then
         ld = .not. due(exc(var(kfld)%nexc), kt)
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

   !> The step at which a run that is to end early ends, told with the next message to the coupler; 0: none leaves at step kt.
   !! The run that follows must begin with an exchange of every field: OASIS sends nothing between two exchanges.
   pure function early_end(kt) result(kend)
      integer, intent(in) :: kt
      integer :: kend, je
      kend = 0
      do je = 1, nexc
         if (exc(je)%ndir == cpl_out .and. .not. exc(je)%lstatic .and. mod(kt - 1, exc(je)%nperiod) == 0) kend = kt
      end do
      if (kend == 0) return
      do while (kend < nitend)
         if (all(exc%lstatic .or. mod(kend, exc%nperiod) == 0)) exit
         kend = kend + 1
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
         call pack_r8(pdata(:,:,jk), jk)
      end do
      call snd_close(kfld, kt, kerr)
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
         call pack_r4(pdata(:,:,jk), jk)
      end do
      call snd_close(kfld, kt, kerr)
   end subroutine snd_3d_r4

   subroutine snd_2d_r8(kfld, kt, pdata, kerr)
      integer,           intent(in)  :: kfld           !< field id from cpl_var
      integer,           intent(in)  :: kt             !< model step, counted as the model counts it
      real(real64),      intent(in)  :: pdata(:,:)   !< (i, j), interior only
      integer, optional, intent(out) :: kerr           !< 0 or error code; absent: stop the job
      logical :: lldue
      call snd_open(kfld, kt, [shape(pdata), 1], lldue, kerr)
      if (.not. lldue) return
      call pack_r8(pdata, 1)
      call snd_close(kfld, kt, kerr)
   end subroutine snd_2d_r8

   subroutine snd_2d_r4(kfld, kt, pdata, kerr)
      integer,           intent(in)  :: kfld           !< field id from cpl_var
      integer,           intent(in)  :: kt             !< model step, counted as the model counts it
      real(real32),      intent(in)  :: pdata(:,:)   !< (i, j), interior only
      integer, optional, intent(out) :: kerr           !< 0 or error code; absent: stop the job
      logical :: lldue
      call snd_open(kfld, kt, [shape(pdata), 1], lldue, kerr)
      if (.not. lldue) return
      call pack_r4(pdata, 1)
      call snd_close(kfld, kt, kerr)
   end subroutine snd_2d_r4

   subroutine pack_r8(pdata, klev)
      real(real64), intent(in) :: pdata(:,:)
      integer,      intent(in) :: klev
      integer :: jj, ip
      integer(int64) :: it0
      call system_clock(it0)
      ip = (klev - 1) * size(pdata)
      do jj = 1, size(pdata, 2)
         if (nwire == 64) then
            zbuf(ip+1:ip+size(pdata, 1)) = pdata(:, jj)
         else
            zbuf(ip+1:ip+size(pdata, 1)) = real(real(pdata(:, jj), real32), real64)
         end if
         ip = ip + size(pdata, 1)
      end do
      call clock_add(1, it0)
   end subroutine pack_r8

   subroutine pack_r4(pdata, klev)
      real(real32), intent(in) :: pdata(:,:)
      integer,      intent(in) :: klev
      integer :: jj, ip
      integer(int64) :: it0
      call system_clock(it0)
      ip = (klev - 1) * size(pdata)
      do jj = 1, size(pdata, 2)
         zbuf(ip+1:ip+size(pdata, 1)) = real(pdata(:, jj), real64)
         ip = ip + size(pdata, 1)
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
         call unpack_r8(pdata(:,:,jk), jk)
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
         call unpack_r4(pdata(:,:,jk), jk)
      end do
   end subroutine rcv_3d_r4

   subroutine rcv_2d_r8(kfld, kt, pdata, kerr)
      integer,           intent(in)    :: kfld           !< field id from cpl_var
      integer,           intent(in)    :: kt             !< model step
      real(real64),      intent(inout) :: pdata(:,:)   !< (i, j), interior only; untouched between coupling steps
      integer, optional, intent(out)   :: kerr           !< 0 or error code; absent: stop the job
      logical :: llnew, llzero
      call rcv_open(kfld, kt, [shape(pdata), 1], llnew, llzero, kerr)
      if (llzero) pdata = -0.0_real64
      if (.not. llnew) return
      call unpack_r8(pdata, 1)
   end subroutine rcv_2d_r8

   subroutine rcv_2d_r4(kfld, kt, pdata, kerr)
      integer,           intent(in)    :: kfld           !< field id from cpl_var
      integer,           intent(in)    :: kt             !< model step
      real(real32),      intent(inout) :: pdata(:,:)   !< (i, j), interior only; untouched between coupling steps
      integer, optional, intent(out)   :: kerr           !< 0 or error code; absent: stop the job
      logical :: llnew, llzero
      call rcv_open(kfld, kt, [shape(pdata), 1], llnew, llzero, kerr)
      if (llzero) pdata = -0.0_real32
      if (.not. llnew) return
      call unpack_r4(pdata, 1)
   end subroutine rcv_2d_r4

   subroutine unpack_r8(pdata, klev)
      real(real64), intent(inout) :: pdata(:,:)
      integer,      intent(in)    :: klev
      integer :: jj, ip
      integer(int64) :: it0
      call system_clock(it0)
      ip = (klev - 1) * size(pdata)
      do jj = 1, size(pdata, 2)
         pdata(:, jj) = zbuf(ip+1:ip+size(pdata, 1))
         ip = ip + size(pdata, 1)
      end do
      call clock_add(3, it0)
   end subroutine unpack_r8

   subroutine unpack_r4(pdata, klev)
      real(real32), intent(inout) :: pdata(:,:)
      integer,      intent(in)    :: klev
      integer :: jj, ip
      integer(int64) :: it0
      call system_clock(it0)
      ip = (klev - 1) * size(pdata)
      do jj = 1, size(pdata, 2)
         pdata(:, jj) = real(zbuf(ip+1:ip+size(pdata, 1)), real32)
         ip = ip + size(pdata, 1)
      end do
      call clock_add(3, it0)
   end subroutine unpack_r4

   !> Is the field due at step kt? Then mark it.
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
         zexc%nkt = kt
         var(zexc%mfld)%ldone = .false.
      end if
      if (var(kfld)%ldone) then
         call fail(at_step('cpl_snd: field ' // trim(var(kfld)%cname) // ' is sent twice', kt), kerr)
         return
      end if
      ld_due = .true.
   end subroutine snd_open

   !> Put the field; the last one of an exchange is followed by the header.
   subroutine snd_close(kfld, kt, kerr)
      integer,           intent(in)    :: kfld, kt
      integer, optional, intent(inout) :: kerr
      type(t_exc), pointer :: zexc
      integer :: info, iflags, jk, ilen
      integer(int64) :: it0
      real(real64) :: zhead(jp_head)
      zexc => exc(var(kfld)%nexc)
      call system_clock(it0)
      ilen = product(nbox(3:4, var(kfld)%ngrd)) * var(kfld)%nlev / size(var(kfld)%moasis)
      call watch(at_step('the coupler does not take field ' // trim(var(kfld)%cname), kt))
      do jk = 1, size(var(kfld)%moasis)
         call oasis_put(var(kfld)%moasis(jk), time_of(zexc, kt), zbuf((jk-1)*ilen+1:jk*ilen), info)
      end do
      var(kfld)%ldone = .true.
      zexc%npacked = zexc%npacked + 1
      if (zexc%npacked == zexc%nfld) then
         zexc%npacked = 0
         iflags = merge(jp_flag_last, 0, kt >= last_step(zexc))
         zhead = 0._real64
         zhead(1:5) = real([kt, zexc%nid, iflags, restart_word(zexc), nend], real64)
         call oasis_put(zexc%nhead, time_of(zexc, kt), zhead(1:merge(jp_head, 0, nrank_oce == 0)), info)
      end if
      call unwatch()
      call clock_add(2, it0)
      if (info < 0) call fail(at_step('OASIS does not send field ' // trim(var(kfld)%cname), kt), kerr)
   end subroutine snd_close

   !> What the next message of an exchange says of restarts: the last step since its message before, 0 for none.
   function restart_word(pexc) result(kword)
      type(t_exc), intent(inout) :: pexc
      integer :: kword
      kword = merge(nkt_restart, 0, nkt_restart > pexc%nkt_told)
      pexc%nkt_told = max(nkt_restart, pexc%nkt_told)
   end function restart_word

   !> Is a new value due at step kt? Then get it, and the header once per exchange and step.
   !! The first receive of a field that nobody couples delivers the neutral tendency: x + (-0.0) is x, bit for bit.
   subroutine rcv_open(kfld, kt, kshape, ld_new, ld_zero, kerr)
      integer,           intent(in)    :: kfld, kt, kshape(3)
      logical,           intent(out)   :: ld_new, ld_zero
      integer, optional, intent(inout) :: kerr
      type(t_exc), pointer :: zexc
      integer :: info, ierr, jk, ilen
      integer(int64) :: it0
      real(real64) :: zhead(jp_head)
      if (present(kerr)) kerr = 0
      ld_new = .false. ; ld_zero = .false.
      call check_call(kfld, cpl_in, kshape, 'cpl_rcv', kt, ierr, kerr)
      if (ierr /= 0) return
      ld_zero = var(kfld)%lfirst
      var(kfld)%lfirst = .false.
      if (var(kfld)%nexc == 0) return
      zexc => exc(var(kfld)%nexc)
      if (.not. due(zexc, kt)) return
      call system_clock(it0)
      zbuf(1:product(nbox(3:4, var(kfld)%ngrd))*var(kfld)%nlev) = 0._real64
      ilen = product(nbox(3:4, var(kfld)%ngrd)) * var(kfld)%nlev / size(var(kfld)%moasis)
      call watch(at_step('no answer from the coupler for field ' // trim(var(kfld)%cname), kt))
      do jk = 1, size(var(kfld)%moasis)
         call oasis_get(var(kfld)%moasis(jk), time_of(zexc, kt), zbuf((jk-1)*ilen+1:jk*ilen), info)
      end do
      if (all(info /= [oasis_recvd, oasis_recvout, oasis_fromrest])) then
         call unwatch()
         call fail(at_step('OASIS delivers nothing for field ' // trim(var(kfld)%cname) // &
            &      '; is its period in the namcouple that of the namelist?', kt), kerr)
         return
      end if
      if (zexc%nkt /= kt) then
         zexc%nkt = kt
         call oasis_get(zexc%nhead, time_of(zexc, kt), zhead, info)
         if (nint(zhead(1)) /= kt) then
            call unwatch()
            call fail(at_step('the answer of the coupler belongs to another step', kt), kerr)
            return
         end if
         zexc%nstatus = nint(zhead(3))
         if (nint(zhead(4)) /= 0) lstop = .true.
      end if
      call unwatch()
      call clock_add(2, it0)
      ld_new = .true.
   end subroutine rcv_open

   !> Time since the start of this run, as OASIS counts it.
   pure function time_of(pexc, kt) result(ktime)
      type(t_exc), intent(in) :: pexc
      integer,     intent(in) :: kt
      integer :: ktime
      ktime = merge(0, (kt - nit000) * nunit, pexc%lstatic)
   end function time_of

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

   !> OASIS itself waits for ever: a call of it that lasts longer than the time-out is ended by SIGALRM, and the job with it.
   subroutine watch(cdwork)
      character(len=*), intent(in) :: cdwork   !< the sentence that is then said
      type(c_funptr) :: zwas
      integer(c_int) :: iret
      cwork = cdwork
      zwas = c_signal(jp_sigalrm, c_funloc(on_alarm))
      iret = c_alarm(ceiling(min(rtimeout, 1.e9_real64), c_int))
   end subroutine watch

   subroutine unwatch()
      integer(c_int) :: iret
      iret = c_alarm(0_c_int)
   end subroutine unwatch

   subroutine on_alarm(ksig) bind(C, name='')
      integer(c_int), value :: ksig
      type(c_funptr) :: zwas
      integer(c_int) :: iret
      zwas = c_signal(ksig, c_null_funptr)
      iret = c_alarm(5_c_int)   ! ends this process where the abort itself hangs
      call fail(trim(cwork) // ' within ' // trim(limit()))
   end subroutine on_alarm

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
