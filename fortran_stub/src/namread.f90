!> Reading namelists one assignment at a time, so that an error can name its group, member, file and line.
!!
!! namelist_ref, where it exists, is read before namelist_cfg; groups that are not ours are left alone.
!! The owner of a group reads it as
!!
!!    do while (nam_next('namdom'))
!!       read (cnam, namdom, iostat=ios, iomsg=cerr)
!!       call nam_check(ios, cerr)
!!    end do
module namread
   use in_out_manager, only: lc, lwp, numout
   use lib_mpp, only: ctl_stop
   implicit none
   private
   public :: nam_open, nam_next, nam_check, nam_where

   integer, parameter :: jplen = 2048          ! length of one assignment
   type :: t_entry
      character(len=64) :: group = ' '
      character(len=jplen) :: text = ' '       ! "name = values"
      character(len=lc) :: file = ' '
      integer :: line = 0
   end type t_entry

   type(t_entry), allocatable :: entries(:)    ! all assignments of all groups, in the order of the files
   integer :: nentry = 0
   integer :: ipos = 0                         ! assignment handed out last by nam_next
   character(len=jplen + 80), public :: cnam = ' '   !< the assignment, as a namelist group of its own
   character(len=lc), public :: cerr = ' '           !< message of the failed read

contains

   !> Cut a namelist file into assignments.
   subroutine nam_open(cdfile, ldmust)
      character(len=*), intent(in) :: cdfile   !< path
      logical, intent(in) :: ldmust            !< missing is an error
      character(len=jplen) :: cline
      character(len=64) :: cgroup
      integer :: inum, ios, iline, istart, ic

      open (newunit=inum, file=cdfile, status='old', action='read', iostat=ios)
      if (ios /= 0) then
         if (ldmust) call ctl_stop("file '"//trim(cdfile)//"' is missing or cannot be read.", &
         &  'The ocean looks for it in the directory where it is started.', &
         &  'Copy one of namelists/*/namelist_cfg there; every switch is explained in namelists/namelist_ref.')
         if (lwp) write (numout, '(3a)') ' namelists: no ', trim(cdfile), ' here, the defaults that it documents are compiled in'
         return
      end if
      if (.not. allocated(entries)) allocate (entries(256))
      cgroup = ' '; iline = 0; istart = 0
      do
         read (inum, '(a)', iostat=ios) cline
         if (ios /= 0) exit
         iline = iline + 1
         ic = unquoted(cline, '!')
         if (ic > 0) cline(ic:) = ' '
         do ic = 1, len_trim(cline)
            if (cline(ic:ic) == achar(9) .or. cline(ic:ic) == achar(13)) cline(ic:ic) = ' '
         end do
         cline = adjustl(cline)
         if (cgroup == ' ') then
            if (cline(1:1) /= '&') cycle
            ic = scan(cline, ' /')
            cgroup = lower(cline(2:ic - 1))
            istart = iline
            cline = cline(ic:)
            call check_twice(cgroup, cdfile, iline)
         end if
         call add_line(cline, cgroup, cdfile, iline)
      end do
      close (inum)
      if (cgroup /= ' ') call ctl_stop("group &"//trim(cgroup)//" has no closing '/'.", &
      &  trim(cdfile)//' line '//str(istart)//". Add a line '/' at its end.")
   end subroutine nam_open

   !> Cut one line of a group at its assignments and at the closing '/'.
   subroutine add_line(cdline, cdgroup, cdfile, kline)
      character(len=*), intent(in) :: cdline, cdfile
      character(len=*), intent(inout) :: cdgroup   !< blank once the group is closed
      integer, intent(in) :: kline
      integer :: iend, ieq, ibeg, inext, ilast

      iend = unquoted(cdline, '/')
      if (lower(adjustl(cdline)) == '&end') iend = verify(cdline, ' ')
      ilast = len_trim(cdline)
      if (iend > 0) ilast = iend - 1
      ibeg = 1
      do while (ibeg <= ilast)
         ieq = unquoted(cdline(ibeg:ilast), '=')
         if (ieq == 0) then
            call more_text(cdline(ibeg:ilast), cdgroup, cdfile, kline)
            exit
         end if
         inext = name_start(cdline(:ibeg + ieq - 2))
         if (inext > ibeg) call more_text(cdline(ibeg:inext - 1), cdgroup, cdfile, kline)
         call new_entry(cdgroup, cdfile, kline)
         call more_text(cdline(inext:ibeg + ieq - 1), cdgroup, cdfile, kline)
         ibeg = ibeg + ieq
      end do
      if (iend > 0) cdgroup = ' '
   end subroutine add_line

   !> Append text to the assignment that is being read.
   subroutine more_text(cdtext, cdgroup, cdfile, kline)
      character(len=*), intent(in) :: cdtext, cdgroup, cdfile
      integer, intent(in) :: kline
      logical :: ll_stray
      if (cdtext == ' ') return
      ll_stray = nentry == 0
      if (.not. ll_stray) ll_stray = entries(nentry)%group /= cdgroup .or. entries(nentry)%file /= cdfile
      if (ll_stray) then
         if (lours(cdgroup)) &
         &  call ctl_stop("'"//trim(adjustl(cdtext))//"' stands in group &"//trim(cdgroup)//" without a name = before it.", &
         &  trim(cdfile)//' line '//str(kline)//'.')
         return
      end if
      entries(nentry)%text = adjustl(trim(entries(nentry)%text)//' '//adjustl(cdtext))
   end subroutine more_text

   !> Open a new, empty assignment.
   subroutine new_entry(cdgroup, cdfile, kline)
      character(len=*), intent(in) :: cdgroup, cdfile
      integer, intent(in) :: kline
      type(t_entry), allocatable :: bigger(:)
      if (nentry == size(entries)) then
         allocate (bigger(2*nentry))
         bigger(:nentry) = entries
         call move_alloc(bigger, entries)
      end if
      nentry = nentry + 1
      entries(nentry) = t_entry(cdgroup, ' ', cdfile, kline)
   end subroutine new_entry

   !> Two groups of one name in one file: for our groups a mistake, others may repeat.
   subroutine check_twice(cdgroup, cdfile, kline)
      character(len=*), intent(in) :: cdgroup, cdfile
      integer, intent(in) :: kline
      integer :: ja
      if (.not. lours(cdgroup)) return
      do ja = 1, nentry
         if (entries(ja)%group == cdgroup .and. entries(ja)%file == cdfile) &
         &  call ctl_stop("group &"//trim(cdgroup)//" stands twice in "//trim(cdfile)//".", &
         &  'It has a switch in line '//str(entries(ja)%line)//' and begins again in line '//str(kline)//'. Join them.')
      end do
   end subroutine check_twice

   !> True for the groups that the ocean reads.
   logical function lours(cdgroup)
      character(len=*), intent(in) :: cdgroup
      character(len=*), parameter :: cp_ours = &
      &  ' namrun namdom namusr_def nammpp namlbc namdyn_ldf namzb20 namsbc namdrg namtra namdia namtrd namrhs nam_asminc '
      lours = index(cp_ours, ' '//trim(cdgroup)//' ') > 0
   end function lours

   !> Hand out the next assignment of a group in cnam; .false. when there is none left.
   logical function nam_next(cdgroup)
      character(len=*), intent(in) :: cdgroup
      do ipos = ipos + 1, nentry
         if (entries(ipos)%group == cdgroup) then
            cnam = '&'//cdgroup//' '//trim(entries(ipos)%text)//' /'
            nam_next = .true.
            return
         end if
      end do
      ipos = 0
      nam_next = .false.
   end function nam_next

   !> Stop in words when the assignment in cnam could not be read.
   subroutine nam_check(kios, cdmsg)
      integer, intent(in) :: kios
      character(len=*), intent(in) :: cdmsg
      character(len=:), allocatable :: cname, cwhat
      if (kios == 0) return
      cname = trim(entries(ipos)%text(:scan(entries(ipos)%text, '=(%') - 1))
      if (index(lower(cdmsg), 'cannot match namelist object name '//lower(cname)) > 0) then   ! else it names a piece of the value
         cwhat = "there is no switch '"//trim(cname)//"' in group &"//trim(entries(ipos)%group)//'.'
      else
         cwhat = "the value of '"//trim(cname)//"' in group &"//trim(entries(ipos)%group)//' cannot be read.'
      end if
      call ctl_stop(cwhat, trim(entries(ipos)%file)//' line '//str(entries(ipos)%line)//': '//trim(entries(ipos)%text), &
      &  'namelist_ref lists every switch of the ocean with its type and meaning.')
   end subroutine nam_check

   !> "namelist_cfg line 12 (&namdom, rn_dt)": where a switch was given last; "default" if nowhere.
   function nam_where(cdgroup, cdname) result(cdwhere)
      character(len=*), intent(in) :: cdgroup, cdname
      character(len=:), allocatable :: cdwhere
      integer :: ja, iend
      cdwhere = '(&'//cdgroup//', '//cdname//', the default)'
      do ja = 1, nentry
         if (entries(ja)%group /= cdgroup) cycle
         iend = scan(entries(ja)%text, ' (=') - 1
         if (lower(entries(ja)%text(:iend)) == lower(cdname)) &
         &  cdwhere = trim(entries(ja)%file)//' line '//str(entries(ja)%line)//' (&'//cdgroup//', '//cdname//')'
      end do
   end function nam_where

   !> First place of a character outside quotes, 0 if none.
   pure integer function unquoted(cdline, cdchar)
      character(len=*), intent(in) :: cdline
      character(len=1), intent(in) :: cdchar
      character(len=1) :: cq
      integer :: jc
      cq = ' '
      unquoted = 0
      do jc = 1, len_trim(cdline)
         if (cq /= ' ') then
            if (cdline(jc:jc) == cq) cq = ' '
         else if (cdline(jc:jc) == cdchar) then
            unquoted = jc
            return
         else if (cdline(jc:jc) == "'" .or. cdline(jc:jc) == '"') then
            cq = cdline(jc:jc)
         end if
      end do
   end function unquoted

   !> Where the name at the end of the text begins: name, name(index), name%part.
   pure integer function name_start(cdtext)
      character(len=*), intent(in) :: cdtext
      character(len=*), parameter :: cp_name = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_%'
      integer :: jc
      jc = len_trim(cdtext)
      if (jc > 0) then
         if (cdtext(jc:jc) == ')') jc = len_trim(cdtext(:max(index(cdtext(:jc), '(', back=.true.) - 1, 0)))
      end if
      do while (jc > 0)
         if (index(cp_name, cdtext(jc:jc)) == 0) exit
         jc = jc - 1
      end do
      name_start = jc + 1
   end function name_start

   !> Text in lower case.
   pure function lower(cdtext) result(cdlow)
      character(len=*), intent(in) :: cdtext
      character(len=len(cdtext)) :: cdlow
      integer :: jc
      do jc = 1, len(cdtext)
         cdlow(jc:jc) = cdtext(jc:jc)
         if (cdtext(jc:jc) >= 'A' .and. cdtext(jc:jc) <= 'Z') cdlow(jc:jc) = achar(iachar(cdtext(jc:jc)) + 32)
      end do
   end function lower

   !> An integer as text.
   pure function str(kval) result(cdval)
      integer, intent(in) :: kval
      character(len=:), allocatable :: cdval
      character(len=12) :: ctmp
      write (ctmp, '(i0)') kval
      cdval = trim(ctmp)
   end function str
end module namread
